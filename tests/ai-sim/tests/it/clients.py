"""Asks fakes by LiteLLM's clients and prints what those made of it: a JSON list of {"text", "input", "output"} or {"error"}."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

litellm.telemetry = False
litellm.suppress_debug_info = True
PICTURE = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEASABIAAD/2Q=="


def ask(model, base):
    try:
        answer = litellm.completion(
            model=model,
            api_base=base,
            api_key="sk-sim-0000",
            max_tokens=100,
            num_retries=0,
            timeout=20,
            messages=[
                {"role": "system", "content": "Describe the picture as JSON."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is in this image?"},
                        {"type": "image_url", "image_url": {"url": PICTURE}},
                    ],
                },
            ],
        )
    except Exception as failure:
        return {"error": type(failure).__name__, "message": str(failure)[:500]}
    usage = answer.usage
    text = answer.choices[0].message.content
    return {"text": text, "input": usage.prompt_tokens, "output": usage.completion_tokens}


print(json.dumps([ask(model, base) for model, base in json.loads(sys.argv[1])]))
