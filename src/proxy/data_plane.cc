#include "proxy/data_plane.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/log.h"
#include "io/listener.h"
#include "proxy/worker.h"

namespace mizzen::proxy {

constexpr Duration kDrainCheck = std::chrono::milliseconds(20);

namespace {

io::Address bound_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return io::Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

}  // namespace

// A worker with its thread. `worker` is used on that thread only, but for Worker::sessions().
struct DataPlane::Thread {
  io::EpollLoop loop;
  std::unique_ptr<Worker> worker;
  std::atomic<bool> configured = false;
  std::thread thread;
};

DataPlane::DataPlane(io::Loop& main, DataPlaneOptions options)
    : main_(main),
      options_(std::move(options)),
      shared_(std::make_unique<WorkerShared>()),
      drain_timer_(io::Timer::of<&DataPlane::check_drained>(main, this)) {
  shared_->self = options_.self;
  shared_->limits = make_shared_limits();
  for (unsigned i = 0; i < std::max(options_.concurrency, 1u); ++i) {
    auto thread = std::make_unique<Thread>();
    thread->worker = std::make_unique<Worker>(
        thread->loop, *shared_, make_upstream(thread->loop, shared_->limits, shared_->contexts));
    thread->thread = std::thread([t = thread.get()] {
      t->loop.run();
      t->worker.reset();
    });
    threads_.push_back(std::move(thread));
  }
}

DataPlane::~DataPlane() {
  for (auto& thread : threads_) thread->loop.stop();
  for (auto& thread : threads_) thread->thread.join();
}

Status DataPlane::set_snapshot(SnapshotRef snapshot) {
  std::string problems;
  std::vector<std::vector<ListenSocket>> sockets(threads_.size());
  std::set<std::string> wanted;
  for (const auto& listener : snapshot->listeners) {
    if (!listener->bind) continue;
    for (const SocketAddr& configured : listener->addresses) {
      std::string key = listener->name + " " + to_string(configured);
      wanted.insert(key);
      if (bound_.contains(key)) continue;
      io::Address address = to_io(configured);
      io::ListenOptions how;
      how.reuse_port = address.is_ip();
      how.transparent = listener->transparent;
      for (auto& of_worker : sockets) {
        auto fd = io::listen_socket(address, how);
        if (!fd) {
          problems += fmt::format("{}listener {}: {}", problems.empty() ? "" : "; ", listener->name,
                                  fd.error().message);
          wanted.erase(key);
          break;
        }
        if (address.is_ip() && address.port() == 0) address = bound_address(fd->get());
        of_worker.push_back({key, listener->name, std::move(*fd)});
        bound_[key] = address;
        if (!address.is_ip()) break;  // a UNIX path has one listener
      }
    }
  }
  std::erase_if(bound_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  snapshot_ = snapshot;
  live_ = make_live_config(std::move(snapshot), live_);
  LiveConfigRef config = live_;
  std::vector<std::string> keep(wanted.begin(), wanted.end());
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    Thread* thread = threads_[i].get();
    auto of_worker = std::make_shared<std::vector<ListenSocket>>(std::move(sockets[i]));
    thread->loop.post([thread, config, of_worker, keep, &main = main_] {
      thread->worker->set_config(config, std::move(*of_worker), keep);
      thread->configured = true;
      main.post([] {});  // whoever waits for listening() looks again
    });
  }
  if (problems.empty()) return {};
  log::error("data_plane", "{}", problems);
  return fail(Code::kUnavailable, problems);
}

bool DataPlane::listening() const {
  for (const auto& thread : threads_) {
    if (!thread->configured) return false;
  }
  return true;
}

io::Address DataPlane::address_of(std::string_view listener) const {
  for (const auto& [key, address] : bound_) {
    if (key.size() > listener.size() && key.starts_with(listener) && key[listener.size()] == ' ') {
      return address;
    }
  }
  return {};
}

void DataPlane::collect(std::function<void(StatsReport)> done) {
  struct Gathering {
    StatsReport report;
    std::size_t missing;
    std::function<void(StatsReport)> done;
  };
  auto gathering = std::make_shared<Gathering>(StatsReport{}, threads_.size(), std::move(done));
  for (auto& thread : threads_) {
    Worker* worker = thread->worker.get();
    thread->loop.post([worker, gathering, &main = main_] {
      auto part = std::make_shared<StatsReport>(worker->stats().report());
      main.post([gathering, part] {
        gathering->report.merge(*part);
        if (--gathering->missing == 0) gathering->done(std::move(gathering->report));
      });
    });
  }
}

void DataPlane::drain(std::function<void()> done) {
  drained_ = std::move(done);
  drain_until_ = main_.now() + options_.drain_time;
  quiet_since_ = main_.now();
  bool keep_accepting = options_.drain_quiet.count() > 0;
  for (auto& thread : threads_) {
    Worker* worker = thread->worker.get();
    thread->loop.post([worker, keep_accepting] { worker->drain(keep_accepting); });
  }
  drain_timer_.arm(kDrainCheck);
}

void DataPlane::check_drained() {
  if (connections() != 0) quiet_since_ = main_.now();
  bool quiet = connections() == 0 && main_.now() - quiet_since_ >= options_.drain_quiet;
  if (!quiet && main_.now() < drain_until_) return drain_timer_.arm(kDrainCheck);
  if (drained_) std::exchange(drained_, nullptr)();
}

std::size_t DataPlane::connections() const {
  std::size_t sum = 0;
  for (const auto& thread : threads_) sum += thread->worker->sessions();
  return sum;
}

}  // namespace mizzen::proxy
