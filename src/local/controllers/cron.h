// CronJobs: jobs at the times that a schedule names.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/loop.h"
#include "local/apiserver/api.h"
#include "local/apiserver/cron_schedule.h"
#include "local/controllers/queue.h"

namespace mizzen::local {

// Loop thread only; api and its store outlive it.
class CronJobs {
 public:
  CronJobs(io::Loop& loop, Api& api);
  ~CronJobs();
  Status start();

 private:
  void reconcile(const Key& key);
  void tidy_history(const Json& cron, const std::vector<Object>& finished);
  void write_status(const Key& key, const std::vector<Object>& jobs);
  // The last time up to now that was not served yet; sets the timer for the one to come.
  std::optional<WallTime> due(const Key& key, const Json& cron, const CronSchedule& schedule);
  void start_job(const Key& key, const Json& cron, WallTime scheduled);

  io::Loop& loop_;
  Api& api_;
  Store& store_;
  Queue queue_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::map<Key, io::TimerId> timers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
