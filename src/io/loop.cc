#include "io/loop.h"

#include <utility>

namespace mizzen::io {

namespace {

// Runs over what a list holds while it fills anew. Both keep their memory from turn to turn.
template <class T, class Function>
void empty_out(std::vector<T>& list, Function function) {
  thread_local std::vector<T> spare;
  std::vector<T> batch = std::exchange(spare, {});  // a turn inside a turn finds none
  batch.swap(list);
  for (T& one : batch) function(one);
  batch.clear();
  spare = std::move(batch);
}

}  // namespace

struct Loop::OneShot {
  OneShot(Loop& l, TimerId i, std::function<void()> f)
      : loop(l), id(i), fn(std::move(f)), timer(Timer::of<&OneShot::fire>(l, this)) {}
  void fire() {
    auto node = loop.one_shots_.extract(id);
    fn();
  }
  Loop& loop;
  TimerId id;
  std::function<void()> fn;
  Timer timer;
};

void Task::schedule() {
  if (next_ != nullptr) return;
  Task& head = loop_->tasks_;
  previous_ = head.previous_;
  next_ = &head;
  previous_->next_ = this;
  head.previous_ = this;
}

void Task::cancel() {
  if (next_ == nullptr) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  next_ = previous_ = nullptr;
}

Loop::Loop(MonoTime start) : now_(start), timers_(start), tasks_(*this, nullptr, nullptr) {
  tasks_.next_ = tasks_.previous_ = &tasks_;
}

// Here, where OneShot is complete.
Loop::~Loop() { drop_work(); }

void Loop::run() {
  while (!stopped()) run_once(Duration::max());
  stopped_.store(false, std::memory_order_release);
}

void Loop::stop() {
  stopped_.store(true, std::memory_order_release);
  wake();
}

bool Loop::run_until(const std::function<bool()>& done, Duration limit) {
  MonoTime end = now() + limit;
  while (!done()) {
    if (now() >= end) return false;
    run_once(end - now());
  }
  return true;
}

TimerId Loop::after(Duration delay, std::function<void()> fn) {
  TimerId id = ++last_timer_;
  auto& slot = one_shots_[id];
  slot = std::make_unique<OneShot>(*this, id, std::move(fn));
  slot->timer.arm(delay);
  return id;
}

void Loop::cancel(TimerId id) {
  auto node = one_shots_.extract(id);  // destroyed here, after the map is whole again
}

void Loop::defer(std::function<void()> fn) { deferred_.push_back(std::move(fn)); }

void Loop::post(std::function<void()> fn) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(fn));
    posted_count_.store(posted_.size(), std::memory_order_release);
  }
  wake();
}

void Loop::run_posted() {
  if (!has_posted()) return;
  std::vector<std::function<void()>> batch;
  {
    std::lock_guard lock(posted_mutex_);
    batch.swap(posted_);
    posted_count_.store(0, std::memory_order_release);
  }
  for (auto& fn : batch) fn();
}

void Loop::run_tasks() {
  if (tasks_.next_ == &tasks_) return;
  // Moves the ring to a head of its own: tasks may cancel each other, and what they schedule waits.
  Task batch(*this, nullptr, nullptr);
  batch.next_ = tasks_.next_;
  batch.previous_ = tasks_.previous_;
  batch.next_->previous_ = batch.previous_->next_ = &batch;
  tasks_.next_ = tasks_.previous_ = &tasks_;
  while (batch.next_ != &batch) {
    Task* task = batch.next_;
    task->cancel();
    task->function_(task->object_);  // may destroy the task
  }
  batch.next_ = batch.previous_ = nullptr;
}

void Loop::finish_turn() {
  timers_.advance(now_);
  run_posted();
  run_tasks();
  if (!deferred_.empty()) empty_out(deferred_, [](auto& fn) { fn(); });
  if (!graveyard_.empty()) {
    empty_out(graveyard_, [](Grave& grave) { grave.destroy(grave.object); });
  }
}

void Loop::bury() {
  for (int round = 0; round < 100 && !graveyard_.empty(); ++round) {  // as in drop_work()
    for (auto& grave : std::exchange(graveyard_, {})) grave.destroy(grave.object);
  }
}

void Loop::drop_work() {
  // Destructors may put off more; a handful of rounds drains every honest chain.
  for (int round = 0; round < 100; ++round) {
    std::vector<std::function<void()>> posted;
    {
      std::lock_guard lock(posted_mutex_);
      posted.swap(posted_);
    }
    auto deferred = std::exchange(deferred_, {});
    auto graves = std::exchange(graveyard_, {});
    auto shots = std::exchange(one_shots_, {});
    if (posted.empty() && deferred.empty() && graves.empty() && shots.empty()) return;
    for (auto& grave : graves) grave.destroy(grave.object);
  }
}

}  // namespace mizzen::io
