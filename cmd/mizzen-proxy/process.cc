#include "process.h"

#include <csignal>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "proxy/self_facts.h"

namespace mizzen {
namespace {

constexpr unsigned kDefaultWorkers = 2;
// Istio's TERMINATION_DRAIN_DURATION_SECONDS.
constexpr Duration kInjectedDrain = std::chrono::seconds(5);
constexpr Duration kInjectedQuiet = std::chrono::seconds(1);

unsigned workers(const Flags& flags, const proxy::Bootstrap& bootstrap) {
  const auto wanted = flags.concurrency ? flags.concurrency : bootstrap.concurrency;
  if (!wanted) return kDefaultWorkers;
  return *wanted != 0 ? *wanted : std::max(std::thread::hardware_concurrency(), 1u);
}

proxy::DataPlaneOptions data_plane_options(const Flags& flags, const proxy::Bootstrap& bootstrap) {
  proxy::DataPlaneOptions options;
  options.concurrency = workers(flags, bootstrap);
  options.self = proxy::self_facts(bootstrap.node);
  if (bootstrap.workload) {
    options.drain_time = bootstrap.drain_time.value_or(kInjectedDrain);
    options.drain_quiet = kInjectedQuiet;
    const char* seconds = std::getenv("TERMINATION_DRAIN_DURATION_SECONDS");
    if (auto value = parse_int<unsigned>(seconds ? seconds : "")) {
      options.drain_time = std::chrono::seconds(*value);
    }
  }
  if (flags.drain_time) options.drain_time = *flags.drain_time;
  return options;
}

Status add_to(proxy::ConfigStore& store, const proxy::Bootstrap& bootstrap) {
  for (const std::string& bytes : bootstrap.secrets) MIZZEN_CHECKED(store.add_static_secret(bytes));
  for (const std::string& bytes : bootstrap.clusters) {
    MIZZEN_CHECKED(store.add_static_cluster(bytes));
  }
  for (const std::string& bytes : bootstrap.listeners) {
    MIZZEN_CHECKED(store.add_static_listener(bytes));
  }
  return {};
}

}  // namespace

Status validate(const proxy::Bootstrap& bootstrap) {
  proxy::ConfigStore store(system_clock());
  return add_to(store, bootstrap);
}

Process::Process(const Flags& flags, proxy::Bootstrap bootstrap)
    : bootstrap_(std::move(bootstrap)),
      signals_(loop_, {SIGTERM, SIGINT}, [this](int) { stop(); }),
      data_plane_(loop_, data_plane_options(flags, bootstrap_)),
      feed_(loop_, [this](proxy::SnapshotRef snapshot) { publish(std::move(snapshot)); }),
      concurrency_(workers(flags, bootstrap_)),
      drain_time_(data_plane_options(flags, bootstrap_).drain_time) {}

Status Process::start() {
  MIZZEN_CHECKED(add_to(feed_.store(), bootstrap_));
  feed_.touch();
  if (bootstrap_.discovery) {
    source_.emplace(loop_, feed_, *bootstrap_.discovery, bootstrap_.node);
  }
  if (bootstrap_.workload) {
    MIZZEN_TRY(agent_, proxy::LocalAgent::make(loop_, feed_, *bootstrap_.workload, agent_hooks()));
    MIZZEN_CHECKED(agent_->start());
    if (bootstrap_.workload->dns_capture && source_) {
      source_->follow_names(
          [this](std::string_view table) { return agent_->set_names(table); });
    }
  }
  if (source_) source_->start();
  if (bootstrap_.admin) {
    admin_ = std::make_unique<proxy::AdminServer>(loop_, feed_, bootstrap_, admin_hooks());
    auto bound = admin_->listen(*bootstrap_.admin);
    if (!bound) return std::unexpected(bound.error().in("admin"));
  }
  return {};
}

proxy::LocalAgentHooks Process::agent_hooks() {
  proxy::LocalAgentHooks hooks;
  hooks.not_ready = [this] { return not_ready(); };
  hooks.metrics = [this](std::function<void(std::string)> done) {
    data_plane_.collect(
        [done = std::move(done)](const proxy::StatsReport& report) { done(report.prometheus()); });
  };
  hooks.quit = [this] { stop(); };
  return hooks;
}

proxy::AdminHooks Process::admin_hooks() {
  proxy::AdminHooks hooks;
  hooks.collect = [this](std::function<void(proxy::StatsReport)> done) {
    data_plane_.collect(std::move(done));
  };
  hooks.ready = [this] { return !not_ready(); };
  hooks.draining = [this] { return draining_; };
  hooks.quit = [this] { stop(); };
  hooks.drain = [this] { data_plane_.drain([] {}); };
  hooks.set_failed = [this](bool failed) { failed_ = failed; };
  hooks.renew = [this] {
    if (agent_) agent_->renew();
    return agent_ != nullptr;
  };
  hooks.source = source_ ? &*source_ : nullptr;
  hooks.concurrency = concurrency_;
  hooks.drain_time = drain_time_;
  return hooks;
}

std::optional<std::string> Process::not_ready() const {
  if (failed_) return "failed by /healthcheck/fail";
  if (!feed_.store().initialized(bootstrap_.discovery.has_value())) {
    return "configuration has not come from the control plane";
  }
  if (!data_plane_.listening()) return "listeners are not open yet";
  return std::nullopt;
}

void Process::publish(proxy::SnapshotRef snapshot) {
  if (Status set = data_plane_.set_snapshot(std::move(snapshot)); !set) {
    log::error("main", "{}", set.error().message);
  }
}

void Process::stop() {
  if (draining_) return loop_.stop();
  draining_ = true;
  log::info("main", "draining");
  if (agent_) agent_->set_draining();
  data_plane_.drain([this] { loop_.stop(); });
}

void Process::run() { loop_.run(); }

}  // namespace mizzen
