//! A scheduler for slow threads: one thread is stopped at one of its steps, and all others run to their end
//! before it goes on. Each thread at each of its steps in turn, so it is exhaustive where chance would need
//! thousands of coins to fall the same way: a reader that sleeps through two checkpoints.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Steps of the others after which a stopped thread goes on: threads of a store look for work for ever.
const WAIT_MAX: usize = 20_000;

pub(super) struct Pause {
    /// The thread that is stopped, and after how many of its steps; `None` counts them.
    task: usize,
    after: Option<usize>,
    /// Steps of that thread in which another one could have gone on.
    steps: usize,
    /// All steps of that thread, once they were counted.
    total: usize,
    /// The highest number of a thread that was seen.
    highest: usize,
    /// Steps of the others since the thread was stopped.
    waited: usize,
    /// Executions for each thread, at most: of a long one, not every step is tried.
    count_max: usize,
    begun: bool,
}

impl Pause {
    pub(super) fn new(count_max: usize) -> Pause {
        Pause { task: 0, after: None, steps: 0, total: 0, highest: 0, waited: 0, count_max, begun: false }
    }
}

impl Scheduler for Pause {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.begun {
            let after = match self.after {
                None => {
                    self.total = self.steps;
                    0
                }
                Some(after) => after + self.total.div_ceil(self.count_max).max(1),
            };
            self.after = Some(after);
            if after >= self.total {
                (self.task, self.after) = (self.task + 1, None);
            }
            if self.task > self.highest {
                return None;
            }
        }
        (self.begun, self.steps, self.waited) = (true, 0, 0);
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let number = |task: &Task| usize::from(task.id());
        self.highest = runnable.iter().map(|task| number(task)).fold(self.highest, usize::max);
        let stopped = runnable.iter().find(|task| number(task) == self.task);
        if let Some(task) = stopped {
            let may_go_on = self.after.is_none_or(|after| self.steps < after) || self.waited > WAIT_MAX;
            // Two that only yield to each other would go on for ever.
            let is_turn = may_go_on && !(is_yielding && current == Some(task.id()));
            if runnable.len() == 1 || is_turn {
                self.steps += usize::from(runnable.len() > 1);
                return Some(task.id());
            }
        }
        self.waited += 1;
        let others: Vec<TaskId> =
            runnable.iter().filter(|task| number(task) != self.task).map(|task| task.id()).collect();
        let goes_on = current.filter(|current| !is_yielding && others.contains(current));
        let next = others.iter().find(|id| current.is_some_and(|current| **id > current));
        goes_on.or(next.copied()).or(others.first().copied())
    }

    fn next_u64(&mut self) -> u64 {
        7
    }
}
