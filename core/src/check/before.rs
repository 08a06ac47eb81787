//! What a change check and a combination have alike: what stands before their detectors, and which changes alert.

/// Writes the settings that stand around a detector, for an observer with the fields `prepare` and `alert_on`.
macro_rules! settings_around {
    ($observer:ident) => {
        impl $observer {
            /// Scales the values before they reach a detector.
            ///
            /// # Errors
            ///
            /// Fails with [`ObserverError::Config`] when a parameter is out of its range.
            pub fn standardized(self, params: StandardizerParams) -> Result<Self, ObserverError> {
                let prepare = PreparationParams { standardize: Some(params), ..*self.prepare };
                self.prepared(prepare)
            }

            /// Prepares the values before they reach a detector: gaps, range, season, exceedance, batches, scale, in
            /// this order, as far as each is switched on. Where there are several detectors, once for all.
            ///
            /// # Errors
            ///
            /// Fails with [`ObserverError::Config`] when a parameter is out of its range.
            pub fn prepared(mut self, params: PreparationParams) -> Result<Self, ObserverError> {
                params.validate()?;
                *self.prepare = params;
                Ok(self)
            }

            /// What is done to the values before they reach a detector.
            pub const fn preparation(&self) -> &PreparationParams {
                &self.prepare
            }

            /// Says which changes raise an alert.
            #[must_use]
            pub const fn alert_on(mut self, alert_on: AlertOn) -> Self {
                self.alert_on = alert_on;
                self
            }

            /// Which changes raise an alert.
            pub(crate) const fn alerts_on(&self) -> AlertOn {
                self.alert_on
            }

            /// Whether the plan's budget sets the run length between false alarms.
            pub const fn is_budgeted(&self) -> bool {
                self.budgeted
            }
        }
    };
}

pub(super) use settings_around;
