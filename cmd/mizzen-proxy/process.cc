#include "process.h"

#include <malloc.h>

#include <csignal>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "proxy/bootstrap/self_facts.h"

namespace mizzen {
namespace {

constexpr unsigned kDefaultWorkers = 2;
// Istio's TERMINATION_DRAIN_DURATION_SECONDS.
constexpr Duration kInjectedDrain = std::chrono::seconds(5);
constexpr Duration kInjectedQuiet = std::chrono::seconds(1);
// With EXIT_ON_ZERO_ACTIVE_CONNECTIONS: MINIMUM_DRAIN_DURATION, and until the kubelet loses
// patience.
constexpr Duration kLeastDrain = std::chrono::seconds(5);
constexpr Duration kEndlessDrain = std::chrono::hours(24);
// How long what is open in a replaced process may go on: Envoy's --parent-shutdown-time-s.
constexpr Duration kHandOverTime = std::chrono::seconds(900);
// Reading a configuration leaves several times its size in free pieces behind.
constexpr Duration kGiveBackAfter = std::chrono::seconds(1);
constexpr Duration kLookAgain = std::chrono::milliseconds(20);

unsigned workers(const Flags& flags, const proxy::Bootstrap& bootstrap) {
  const auto wanted = flags.concurrency ? flags.concurrency : bootstrap.concurrency;
  if (!wanted) return kDefaultWorkers;
  return *wanted != 0 ? *wanted : std::max(std::thread::hardware_concurrency(), 1u);
}

// "5" or "5s".
std::optional<Duration> seconds_of(const char* variable) {
  const char* text = std::getenv(variable);
  std::string_view digits = text == nullptr ? "" : text;
  if (digits.ends_with('s')) digits.remove_suffix(1);
  if (auto value = parse_int<unsigned>(digits)) return std::chrono::seconds(*value);
  return std::nullopt;
}

proxy::DataPlaneOptions data_plane_options(const Flags& flags, const proxy::Bootstrap& bootstrap) {
  proxy::DataPlaneOptions options;
  options.concurrency = workers(flags, bootstrap);
  options.self = proxy::self_facts(bootstrap.node);
  options.connection_limits = bootstrap.connection_limits;
  if (bootstrap.workload) {
    options.drain_time = kInjectedDrain;
    options.drain_quiet = kInjectedQuiet;
    if (bootstrap.workload->termination_drain) {
      options.drain_time = *bootstrap.workload->termination_drain;
    }
    if (auto seconds = seconds_of("TERMINATION_DRAIN_DURATION_SECONDS")) {
      options.drain_time = *seconds;
    }
    const char* on_zero = std::getenv("EXIT_ON_ZERO_ACTIVE_CONNECTIONS");
    if (on_zero != nullptr && std::string_view(on_zero) == "true") {
      options.drain_time = kEndlessDrain;
      options.drain_least = seconds_of("MINIMUM_DRAIN_DURATION").value_or(kLeastDrain);
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

Process::Process(const Flags& flags, proxy::Bootstrap bootstrap,
                 std::optional<Predecessor> predecessor)
    : bootstrap_(std::move(bootstrap)),
      signals_(loop_, {SIGTERM, SIGINT}, [this](int signal) { stop(signal); }),
      data_plane_(loop_, data_plane_options(flags, bootstrap_)),
      feed_(loop_, [this](proxy::SnapshotRef snapshot) { publish(std::move(snapshot)); }),
      sources_(loop_, feed_, bootstrap_),
      concurrency_(workers(flags, bootstrap_)),
      drain_time_(data_plane_options(flags, bootstrap_).drain_time),
      hand_over_time_(flags.parent_shutdown_time ? Duration(*flags.parent_shutdown_time)
                                                 : kHandOverTime),
      predecessor_(std::move(predecessor)) {}

Status Process::start() {
  data_plane_.on_asked([this](const std::vector<std::string>& names) { feed_.want(names); });
  MIZZEN_CHECKED(add_to(feed_.store(), bootstrap_));
  feed_.touch();
  if (bootstrap_.workload) {
    MIZZEN_TRY(agent_, proxy::LocalAgent::make(loop_, feed_, *bootstrap_.workload, agent_hooks()));
    if (bootstrap_.workload->dns_capture) {
      sources_.follow_names([this](std::string_view table) { return agent_->set_names(table); });
    }
  }
  MIZZEN_CHECKED(sources_.start());
  if (agent_) agent_->start();
  if (!predecessor_) return listen_pages();
  data_plane_.adopt(predecessor_->take_sockets());
  take_over();
  return {};
}

Status Process::listen_pages() {
  if (agent_) MIZZEN_CHECKED(agent_->listen());
  if (!bootstrap_.admin) return {};
  admin_ = std::make_unique<proxy::AdminServer>(loop_, feed_, bootstrap_, admin_hooks());
  auto bound = admin_->listen(*bootstrap_.admin);
  if (!bound) return std::unexpected(bound.error().in("admin"));
  return {};
}

// --- Taking the place of another process, and giving it away ------------------------------------

void Process::take_over() {
  const bool ready = !not_ready() && (!agent_ || agent_->identity().identity());
  if (!ready) {
    take_over_timer_ = loop_.after(kLookAgain, [this] { take_over(); });
    return;
  }
  predecessor_->say_ready();
  predecessor_.reset();
  data_plane_.drop_adopted();
  log::info("main", "took over, epoch {}", restart_epoch());
  if (Status listening = listen_pages(); !listening) {
    log::error("main", "{}", listening.error().message);
  }
}

Status Process::upgrade(unsigned concurrency) {
  if (upgrading_ || draining_ || predecessor_) {
    return fail(Code::kUnavailable, "the proxy is draining or being replaced already");
  }
  upgrading_ = true;
  std::vector<std::string> arguments = own_arguments();
  if (concurrency > 0) {
    arguments.emplace_back("--concurrency");
    arguments.push_back(std::to_string(concurrency));
  }
  data_plane_.collect_sockets([this, arguments](proxy::SocketsByKey sockets) {
    Successor::Hooks hooks;
    hooks.ready = [this] { on_successor_ready(); };
    hooks.lost = [this](const std::string& why) {
      log::error("main", "the upgrade failed: {}; this process goes on", why);
      loop_.dispose(std::move(successor_));
      upgrading_ = false;
    };
    auto started = Successor::start(loop_, arguments, std::move(sockets), std::move(hooks));
    if (started) {
      successor_ = std::move(*started);
    } else {
      log::error("main", "the upgrade failed: {}", started.error().message);
      upgrading_ = false;
    }
  });
  return {};
}

void Process::on_successor_ready() {
  log::info("main", "process {} takes over; what is open here may end", successor_->pid());
  replaced_ = true;
  if (agent_) agent_->close_pages();
  admin_.reset();
  data_plane_.hand_over(hand_over_time_, [this] { loop_.stop(); });
}

proxy::LocalAgentHooks Process::agent_hooks() {
  proxy::LocalAgentHooks hooks;
  hooks.not_ready = [this] { return not_ready(); };
  hooks.metrics = [this](std::function<void(std::string)> done) {
    data_plane_.collect(
        [done = std::move(done)](const proxy::StatsReport& report) { done(report.prometheus()); });
  };
  hooks.quit = [this] { stop(SIGTERM); };
  return hooks;
}

proxy::AdminHooks Process::admin_hooks() {
  proxy::AdminHooks hooks;
  hooks.collect = [this](std::function<void(proxy::StatsReport)> done) {
    data_plane_.collect(std::move(done));
  };
  hooks.ready = [this] { return !not_ready(); };
  hooks.draining = [this] { return draining_; };
  hooks.quit = [this] { stop(SIGTERM); };
  hooks.upgrade = [this](unsigned concurrency) { return upgrade(concurrency); };
  hooks.epoch = restart_epoch();
  hooks.drain = [this] { data_plane_.drain([] {}); };
  hooks.set_failed = [this](bool failed) { failed_ = failed; };
  hooks.renew = [this] {
    if (agent_) agent_->renew();
    return agent_ != nullptr;
  };
  hooks.limits = &data_plane_.limits();
  hooks.source = [this] { return sources_.control_plane(); };
  hooks.concurrency = concurrency_;
  hooks.drain_time = drain_time_;
  return hooks;
}

std::optional<std::string> Process::not_ready() const {
  if (failed_) return "failed by /healthcheck/fail";
  if (!sources_.initialized()) {
    return "configuration has not come from the control plane";
  }
  if (!data_plane_.listening()) return "listeners are not open yet";
  return std::nullopt;
}

void Process::publish(proxy::SnapshotRef snapshot) {
  if (Status set = data_plane_.set_snapshot(std::move(snapshot)); !set) {
    log::error("main", "{}", set.error().message);
  }
  if (give_back_timer_ != 0) return;
  give_back_timer_ = loop_.after(kGiveBackAfter, [this] {
    give_back_timer_ = 0;
    ::malloc_trim(0);
  });
}

void Process::stop(int signal) {
  if (replaced_) {
    // The one that took over is told; what is still open here has as long as it has.
    signal_children(signal);
    return data_plane_.drain([this] { loop_.stop(); });
  }
  if (draining_) return loop_.stop();
  draining_ = true;
  log::info("main", "draining");
  if (agent_) agent_->set_draining();
  data_plane_.drain([this] { loop_.stop(); });
}

void Process::run() { loop_.run(); }

Status Process::run_until_ready(Duration limit) {
  if (loop_.run_until([this] { return !not_ready(); }, limit)) return {};
  return fail(Code::kTimeout, *not_ready());
}

}  // namespace mizzen
