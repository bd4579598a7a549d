//! Every sealed value of the database: checked, sealed anew, or removed when no key opens it.

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::seal::{Sealer, key_id_of};

/// Where sealed values are: table, and column. The row's `id` is the owner of each.
const PLACES: [(&str, &str); 5] = [
    ("ai_provider", "api_key"),
    ("camera", "password"),
    ("protect_controller", "api_key"),
    ("protect_controller", "password"),
    ("protect_controller", "kept"),
];

/// A stored secret that no key of the ring opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Such as `camera`.
    pub table: &'static str,
    /// Such as `password`.
    pub column: &'static str,
    /// Id of the row.
    pub owner: String,
    /// The key under which it was sealed, as far as that can be told.
    pub key_id: Option<String>,
}

#[derive(QueryableByName)]
struct SealedRow {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    sealed: String,
}

/// The sealed values of a place.
fn sealed(conn: &mut DbConn, (table, column): (&str, &str)) -> Result<Vec<SealedRow>, DbError> {
    // Both names are ours; a statement cannot take names as values.
    let query = format!("SELECT id AS owner, {column} AS sealed FROM {table} WHERE {column} IS NOT NULL ORDER BY id");
    Ok(diesel::sql_query(query).load(conn)?)
}

fn unopened(conn: &mut DbConn, sealer: &Sealer) -> Result<Vec<Unopened>, DbError> {
    let mut found = Vec::new();
    for place in PLACES {
        for SealedRow { owner, sealed } in sealed(conn, place)? {
            if sealer.open(&owner, &sealed).is_err() {
                let key_id = key_id_of(&sealed).map(str::to_owned);
                found.push(Unopened { table: place.0, column: place.1, owner, key_id });
            }
        }
    }
    Ok(found)
}

/// Writes a sealed value, or removes it.
fn put(tx: &mut Tx<'_>, (table, column): (&str, &str), owner: String, value: Option<String>) -> Result<(), DbError> {
    match value {
        Some(value) => diesel::sql_query(format!("UPDATE {table} SET {column} = $1 WHERE id = $2"))
            .bind::<Text, _>(value)
            .bind::<Text, _>(owner)
            .execute(tx.conn)?,
        None => diesel::sql_query(format!("UPDATE {table} SET {column} = NULL WHERE id = $1"))
            .bind::<Text, _>(owner)
            .execute(tx.conn)?,
    };
    Ok(())
}

impl Database {
    /// The stored secrets that no key opens; none is as it should be.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn seal_check(&self) -> Result<Vec<Unopened>, DbError> {
        let inner = self.inner.clone();
        self.read(move |c| unopened(c, &inner.sealer)).await
    }

    /// Seals every stored secret under the first key of the ring, all or nothing. Gives how many there are.
    ///
    /// # Errors
    /// `Sealed` when one cannot be opened.
    pub async fn reseal(&self) -> Result<u64, DbError> {
        self.write(|tx| {
            let mut count = 0;
            for place in PLACES {
                for SealedRow { owner, sealed } in sealed(tx.conn, place)? {
                    let secret = tx.sealer.open(&owner, &sealed)?;
                    let anew = tx.sealer.seal(&owner, &secret)?;
                    put(tx, place, owner, Some(anew))?;
                    count += 1;
                }
            }
            Ok(count)
        })
        .await
    }

    /// Removes the stored secrets that no key opens, and gives them.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn seal_forget(&self) -> Result<Vec<Unopened>, DbError> {
        self.write(|tx| {
            let gone = unopened(tx.conn, tx.sealer)?;
            for one in &gone {
                put(tx, (one.table, one.column), one.owner.clone(), None)?;
            }
            Ok(gone)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::PLACES;
    use crate::tests::{camera, on_both};
    use crate::{Database, DatabaseConfig, SealKey, SealRing};
    use argus_core::Secret;
    use argus_core::camera::{Camera, CameraFields, SourceType};

    fn guarded(name: &str, password: &str) -> Camera {
        let fields = CameraFields {
            rtsp_url: Some("rtsp://cam/live".into()),
            username: Some("joe".into()),
            password: Some(Secret::new(password)),
            ..CameraFields::new(name, SourceType::Rtsp)
        };
        Camera { config: fields.check().unwrap(), ..camera(name) }
    }

    async fn with_ring(t: &crate::tests::TestDb, ring: impl Into<SealRing>) -> Database {
        Database::open(DatabaseConfig::new(t.url.clone(), ring)).await.unwrap()
    }

    on_both! {
        async fn everything_is_sealed_anew_or_nothing(t) {
            let (old, new) = (SealKey::new([42; 32]), SealKey::new([43; 32]));
            let a = t.db.camera_insert(guarded("A", "first")).await.unwrap();
            let b = t.db.camera_insert(guarded("B", "second")).await.unwrap();
            t.db.camera_insert(camera("C")).await.unwrap();

            // A new key alone opens nothing, and says so.
            let alone = with_ring(&t, new.clone()).await;
            let unopened = alone.seal_check().await.unwrap();
            assert_eq!(unopened.len(), 2);
            assert_eq!(unopened[0].key_id.as_deref(), Some(old.id().as_str()));
            assert!(alone.reseal().await.is_err());
            assert_eq!(t.db.camera_get(a.id).await.unwrap(), a, "a failure leaves everything");

            // In the middle of a change both open everything.
            let both = with_ring(&t, SealRing::from(old.clone()).with(new.clone())).await;
            assert_eq!(both.seal_check().await.unwrap(), []);
            let c = both.camera_insert(guarded("D", "third")).await.unwrap();
            assert_eq!(both.reseal().await.unwrap(), 3);
            assert_eq!(both.reseal().await.unwrap(), 3, "and once more after a crash");

            assert_eq!(alone.seal_check().await.unwrap(), []);
            for camera in [a, b, c] {
                assert_eq!(alone.camera_get(camera.id).await.unwrap(), camera);
            }
            assert_eq!(t.db.seal_check().await.unwrap().len(), 3, "the old key opens nothing any more");
        }

        async fn what_no_key_opens_can_be_forgotten(t) {
            let a = t.db.camera_insert(guarded("A", "first")).await.unwrap();
            let lost = with_ring(&t, SealKey::new([9; 32])).await;
            let kept = lost.camera_insert(guarded("B", "second")).await.unwrap();
            let gone = lost.seal_forget().await.unwrap();
            assert_eq!(gone.iter().map(|u| u.owner.clone()).collect::<Vec<_>>(), [a.id.to_string()]);
            assert_eq!(lost.seal_check().await.unwrap(), []);
            let left = CameraFields::from(&lost.camera_get(a.id).await.unwrap().config);
            assert!(left.password.is_none() && left.username.is_some());
            assert_eq!(lost.camera_get(kept.id).await.unwrap(), kept);
        }
    }

    /// Every place in this crate that seals a value, other than this file, is one of `PLACES`.
    #[test]
    fn nothing_is_sealed_that_a_change_of_the_key_would_miss() {
        let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut places = 0;
        for entry in std::fs::read_dir(src).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && !["seal.rs", "reseal.rs"].contains(&name.as_str()) {
                places += std::fs::read_to_string(path).unwrap().matches("sealer.seal(").count();
            }
        }
        assert_eq!(places, PLACES.len());
    }
}
