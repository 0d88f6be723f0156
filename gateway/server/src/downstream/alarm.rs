//! A deadline that moves with every request. Its timer does not: it goes off where the deadline once was, sees that
//! there is time left, and is set again. So a busy connection sets a timer once per timeout, not once per request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

/// It did not end in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Late;

impl Alarm {
    /// Lets `work` go on until `at`. What is ready at once sets no timer.
    pub(crate) async fn limit<F: Future>(
        &mut self,
        at: Instant,
        work: F,
    ) -> Result<F::Output, Late> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(at, cx).map(|()| Err(Late)),
        })
        .await
    }

    fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at || Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn ends_work_that_is_late_and_nothing_else() {
        let mut alarm = Alarm::default();
        let now = Instant::now();
        assert_eq!(alarm.limit(now, ready(7)).await, Ok(7));
        let soon = now + Duration::from_millis(20);
        assert_eq!(alarm.limit(soon, pending::<()>()).await, Err(Late));
        assert!(Instant::now() >= soon);
    }

    #[tokio::test]
    async fn a_deadline_moves_in_both_directions() {
        let mut alarm = Alarm::default();
        let now = Instant::now();
        let (soon, later) = (
            now + Duration::from_millis(20),
            now + Duration::from_millis(60),
        );
        let turn = async {
            tokio::task::yield_now().await;
            7
        };
        // Sets the timer, which then stands before the next deadline.
        assert_eq!(alarm.limit(soon, turn).await, Ok(7));
        assert_eq!(alarm.limit(later, pending::<()>()).await, Err(Late));
        assert!(Instant::now() >= later);
        let hour = Instant::now() + Duration::from_secs(3600);
        let turn = tokio::task::yield_now();
        assert_eq!(alarm.limit(hour, turn).await, Ok(()));
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(alarm.limit(soon, pending::<()>()).await, Err(Late));
    }
}
