//! Which rows of a delivery cannot be computed: those become rejects, and the others pass.

use super::Ingest;
use crate::batch::{RecordBatch, Reject};
use crate::connector::Delivery;
use crate::engine::SqlFault;

impl Ingest {
    /// Splits rows in halves until those that cannot be computed stand alone; they become rejects, the
    /// others are returned. Nothing is committed.
    pub(super) fn sift(
        &self,
        rows: &RecordBatch,
        delivery: &Delivery,
        rejects: &mut Vec<Reject>,
    ) -> anyhow::Result<RecordBatch> {
        let mut kept = Vec::new();
        let mut parts = vec![rows.clone()];
        while let Some(part) = parts.pop() {
            match self.probe(&part, delivery) {
                Ok(()) => kept.push(part),
                Err(error) => {
                    let fault = error
                        .downcast_ref::<SqlFault>()
                        .filter(|fault| fault.is_of_rows());
                    let Some(fault) = fault else {
                        return Err(error);
                    };
                    let count = part.num_rows();
                    if count <= 1 {
                        rejects.push(Reject {
                            message: fault.message.clone(),
                            payload: crate::format::row_json(&part),
                        });
                    } else {
                        parts.push(part.slice(count / 2, count - count / 2));
                        parts.push(part.slice(0, count / 2));
                    }
                }
            }
        }
        Ok(crate::batch::compute::concat_batches(
            rows.schema_ref(),
            &kept,
        )?)
    }

    /// Computes rows without keeping them.
    fn probe(&self, rows: &RecordBatch, delivery: &Delivery) -> anyhow::Result<()> {
        let trigger_us = delivery.trigger.timestamp_micros();
        let sql = format!("CREATE OR REPLACE TEMP TABLE next AS {}", self.rows_sql);
        let session = &self.writer.session;
        session.execute_over(&sql, rows, &[&trigger_us])?;
        self.refuse_nulls(session, "temp.next")
    }
}
