#include "local/controllers/cron.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/strings.h"
#include "local/runtime/pod.h"
#include "object/meta.h"

namespace mizzen::local {

namespace {

constexpr const char* kCronJobs = "cronjobs.batch";
constexpr const char* kJobs = "jobs.batch";

bool is_finished(const Json& job, const char* type = nullptr) {
  for (const Json& condition : at_path(job, {"status", "conditions"})) {
    const std::string name = condition.value("type", "");
    if (condition.value("status", "") != "True") continue;
    if (type == nullptr ? name == "Complete" || name == "Failed" : name == type) return true;
  }
  return false;
}

std::string created(const Object& object) {
  return text_at(*object, {"metadata", "creationTimestamp"});
}

}  // namespace

CronJobs::CronJobs(io::Loop& loop, Api& api)
    : loop_(loop),
      api_(api),
      store_(api.store()),
      queue_(loop, [this](const Key& key) { reconcile(key); }) {}

CronJobs::~CronJobs() {
  *alive_ = false;
  for (auto& [key, timer] : timers_) loop_.cancel(timer);
}

Status CronJobs::start() {
  MIZZEN_TRY(auto own, store_.watch(kCronJobs, {}, [this](const Event& event) {
    queue_.add({kCronJobs, namespace_of(*event.object), name_of(*event.object)});
  }));
  watches_.push_back(std::move(own));
  MIZZEN_TRY(auto jobs, store_.watch(kJobs, {}, [this](const Event& event) {
    for (const Json& owner : at_path(*event.object, {"metadata", "ownerReferences"})) {
      if (owner.value("kind", "") != "CronJob") continue;
      queue_.add({kCronJobs, namespace_of(*event.object), owner.value("name", "")});
    }
  }));
  watches_.push_back(std::move(jobs));
  return {};
}

void CronJobs::reconcile(const Key& key) {
  if (auto timer = timers_.extract(key)) loop_.cancel(timer.mapped());
  Object cron = store_.get(key);
  if (cron == nullptr || is_deleting(*cron)) return;
  const std::string uid = uid_of(*cron);
  auto jobs = store_.list(kJobs, key.ns, [&uid](const Json& job) {
    for (const Json& owner : at_path(job, {"metadata", "ownerReferences"})) {
      if (owner.value("uid", "") == uid) return true;
    }
    return false;
  });
  std::ranges::sort(jobs, {}, created);
  write_status(key, jobs);
  std::vector<Object> active;
  for (const Object& job : jobs) {
    if (!is_finished(*job) && !is_deleting(*job)) active.push_back(job);
  }
  tidy_history(*cron, jobs);
  auto schedule = CronSchedule::parse(text_at(*cron, {"spec", "schedule"}));
  if (!schedule || at_path(*cron, {"spec", "suspend"}) == Json(true)) return;
  const auto scheduled = due(key, *cron, *schedule);
  if (!scheduled) return;
  const std::string policy = text_at(*cron, {"spec", "concurrencyPolicy"});
  if (policy == "Forbid" && !active.empty()) {
    record_event(store_, *cron, "Normal", "JobAlreadyActive",
                 "Not starting job because prior execution is running and concurrency policy is "
                 "Forbid",
                 "cronjob-controller");
    return;
  }
  if (policy == "Replace") {
    for (const Object& job : active) (void)store_.remove({kJobs, key.ns, name_of(*job)});
  }
  start_job(key, *cron, *scheduled);
}

std::optional<WallTime> CronJobs::due(const Key& key, const Json& cron,
                                      const CronSchedule& schedule) {
  const WallTime now = loop_.wall();
  std::string since = text_at(cron, {"status", "lastScheduleTime"});
  if (since.empty()) since = text_at(cron, {"metadata", "creationTimestamp"});
  const Json& deadline = at_path(cron, {"spec", "startingDeadlineSeconds"});
  auto from = object::parse_time(since).value_or(now);
  // What was missed for longer than a day, or the deadline, is not made up for.
  const auto patience =
      std::chrono::seconds(deadline.is_number_integer() ? deadline.get<std::int64_t>() : 86400);
  from = std::max(from, now - patience);
  std::optional<WallTime> latest;
  auto next = schedule.next(from);
  for (; next && *next <= now; next = schedule.next(*next)) latest = next;
  if (next) {
    // In small steps: a machine that sleeps does not move this clock.
    const Duration wait =
        std::min<Duration>(*next - now + std::chrono::milliseconds(5), std::chrono::seconds(30));
    timers_[key] = loop_.after(wait, [this, key] {
      timers_.erase(key);
      queue_.add(key);
    });
  }
  return latest;
}

void CronJobs::start_job(const Key& key, const Json& cron, WallTime scheduled) {
  const auto minute =
      std::chrono::duration_cast<std::chrono::minutes>(scheduled.time_since_epoch()).count();
  Json job = at_path(cron, {"spec", "jobTemplate"});
  job["apiVersion"] = "batch/v1";
  job["kind"] = "Job";
  Json& metadata = job["metadata"];
  metadata["name"] = fmt::format("{}-{}", key.name.substr(0, 52), minute);
  metadata["namespace"] = key.ns;
  metadata["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = rfc3339(scheduled);
  metadata["ownerReferences"] = Json::array({Json{{"apiVersion", "batch/v1"},
                                                  {"kind", "CronJob"},
                                                  {"name", key.name},
                                                  {"uid", uid_of(cron)},
                                                  {"controller", true},
                                                  {"blockOwnerDeletion", true}}});
  (void)store_.modify(key, [&](Json& object) {
    object["status"]["lastScheduleTime"] = rfc3339(scheduled);
    return true;
  });
  api_.create_object(std::move(job), [this, key, alive = alive_](Result<Object> created) {
    Object owner = *alive ? store_.get(key) : nullptr;
    if (owner == nullptr) return;
    if (created) {
      record_event(store_, *owner, "Normal", "SuccessfulCreate",
                   "Created job " + name_of(**created), "cronjob-controller");
    } else if (created.error().code != Code::kExists) {
      record_event(store_, *owner, "Warning", "FailedCreate",
                   "Error creating job: " + created.error().message, "cronjob-controller");
    }
  });
}

void CronJobs::write_status(const Key& key, const std::vector<Object>& jobs) {
  Json active = Json::array();
  std::string succeeded;
  for (const Object& job : jobs) {
    if (is_finished(*job)) {
      succeeded = std::max(succeeded, text_at(*job, {"status", "completionTime"}));
      continue;
    }
    active.push_back({{"apiVersion", "batch/v1"},
                      {"kind", "Job"},
                      {"name", name_of(*job)},
                      {"namespace", key.ns},
                      {"uid", uid_of(*job)}});
  }
  (void)store_.modify(key, [&](Json& object) {
    Json status = at_path(object, {"status"}).is_object() ? object["status"] : Json::object();
    status["active"] = active;
    if (active.empty()) status.erase("active");
    if (!succeeded.empty()) status["lastSuccessfulTime"] = succeeded;
    if (at_path(object, {"status"}) == status) return false;
    object["status"] = status;
    return true;
  });
}

// Keeps the latest of either kind; `jobs` come oldest first.
void CronJobs::tidy_history(const Json& cron, const std::vector<Object>& jobs) {
  for (auto [type, member, fallback] : {std::tuple{"Complete", "successfulJobsHistoryLimit", 3},
                                        {"Failed", "failedJobsHistoryLimit", 1}}) {
    const Json& limit = at_path(cron, {"spec", member});
    std::vector<Object> ended;
    for (const Object& job : jobs) {
      if (is_finished(*job, type)) ended.push_back(job);
    }
    const auto keep =
        limit.is_number_integer() ? limit.get<std::size_t>() : static_cast<std::size_t>(fallback);
    for (std::size_t i = 0; i + keep < ended.size(); ++i) {
      (void)store_.remove({kJobs, namespace_of(cron), name_of(*ended[i])});
    }
  }
}

}  // namespace mizzen::local
