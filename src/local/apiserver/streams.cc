#include "local/apiserver/streams.h"

#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/pod_streams.h"
#include "object/meta.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kLogBacklog = 4 << 20;

// The container that a request means: the named one, the annotated default, or the first.
Result<std::string> container_of(const Json& pod, std::string_view wanted) {
  std::string names;
  for (const char* list : {"containers", "initContainers"}) {
    for (const auto& each : at_path(pod, {"spec", list})) {
      const std::string name = text_at(each, {"name"});
      if (name == wanted) return name;
      names += (names.empty() ? "" : " ") + name;
    }
  }
  const std::string pod_name = name_of(pod);
  if (!wanted.empty()) {
    return fail(Code::kInvalid,
                fmt::format("container {} is not valid for pod {}", wanted, pod_name));
  }
  if (auto marked = object::annotation_of(pod, "kubectl.kubernetes.io/default-container"))
    return *marked;
  const Json& containers = at_path(pod, {"spec", "containers"});
  if (containers.empty()) return fail(Code::kInvalid, "the pod has no containers");
  if (containers.size() > 1) {
    return fail(Code::kInvalid,
                fmt::format("a container name must be specified for pod {}, choose one of: [{}]",
                            pod_name, names));
  }
  return text_at(containers[0], {"name"});
}

LogOptions log_options(const Target& target, WallTime now) {
  LogOptions options;
  options.follow = target.flag("follow");
  options.previous = target.flag("previous");
  options.timestamps = target.flag("timestamps");
  if (auto lines = parse_int<std::int64_t>(target.param("tailLines"))) options.tail_lines = *lines;
  if (auto bytes = parse_int<std::int64_t>(target.param("limitBytes")))
    options.limit_bytes = *bytes;
  if (auto ago = parse_int<std::int64_t>(target.param("sinceSeconds"))) {
    options.since = now - std::chrono::seconds(*ago);
  }
  if (auto since = object::parse_time(target.param("sinceTime"))) options.since = *since;
  return options;
}

ApiResponse stream_error(const Error& error) {
  if (error.code == Code::kNotFound) return status_response(404, "NotFound", error.message);
  if (error.code == Code::kInternal) return status_response(500, "InternalError", error.message);
  return bad_request(error.message);
}

void serve_log(io::Loop& loop, PodAccess& pods, const ContainerRef& where,
               const LogOptions& options, std::shared_ptr<net::Exchange> exchange) {
  struct LogStream {
    std::shared_ptr<net::Exchange> exchange;
    std::unique_ptr<PodSession> session;
    bool over = false;
  };
  auto log = std::make_shared<LogStream>();
  log->exchange = exchange;
  auto finish = [&loop, log] {
    if (log->over) return;
    log->over = true;
    loop.dispose(std::move(log->session));
    loop.defer([log] { log->exchange.reset(); });
  };
  PodSessionEvents events;
  std::weak_ptr<LogStream> weak = log;
  auto write = [weak](std::string_view text) {
    auto log = weak.lock();
    if (!log || log->over) return;
    if (!log->exchange->begun()) {
      log->exchange->begin(200, {{"content-type", "text/plain; charset=utf-8"},
                                 {"cache-control", "no-cache, private"}});
    }
    log->exchange->write(text);
    if (log->exchange->buffered() > kLogBacklog && log->session) log->session->pause(true);
  };
  events.on_stdout = write;
  events.on_stderr = write;
  events.on_exit = [weak, finish](ExitResult) {
    auto log = weak.lock();
    if (!log || log->over) return;
    if (log->exchange->begun())
      log->exchange->end();
    else
      log->exchange->respond(200, {{"content-type", "text/plain; charset=utf-8"}}, "");
    finish();
  };
  auto session = pods.logs(where, options, std::move(events));
  if (!session) return respond(*exchange, stream_error(session.error()));
  log->session = std::move(*session);
  exchange->on_writable([weak] {
    if (auto log = weak.lock(); log && log->session) log->session->pause(false);
  });
  // The exchange keeps the stream alive until it is closed.
  exchange->on_closed([log, finish](bool) { finish(); });
  if (options.follow && !exchange->begun()) {
    exchange->begin(200, {{"content-type", "text/plain; charset=utf-8"},
                          {"cache-control", "no-cache, private"}});
  }
}

}  // namespace

bool is_stream(const Target& target) {
  if (target.subresource == "proxy") return true;
  if (target.type->resource() != "pods") return false;
  for (std::string_view each : {"log", "exec", "attach", "portforward"}) {
    if (target.subresource == each) return true;
  }
  return false;
}

void serve_stream(io::Loop& loop, Store& store, PodAccess* pods, const Target& target,
                  std::shared_ptr<net::Exchange> exchange) {
  if (!pods) {
    return respond(*exchange,
                   status_response(503, "ServiceUnavailable", "this API server runs without pods"));
  }
  if (target.subresource == "proxy")
    return serve_proxy(loop, store, *pods, target, std::move(exchange));
  Object found = store.get(target.key());
  if (!found) return respond(*exchange, not_found(*target.type, target.name));
  if (target.subresource == "portforward")
    return serve_port_forward(loop, *pods, target, std::move(exchange));
  auto container = container_of(*found, target.param("container"));
  if (!container) return respond(*exchange, bad_request(container.error().message));
  const ContainerRef where{target.ns, target.name, *container};
  if (target.subresource == "log") {
    return serve_log(loop, *pods, where, log_options(target, store.wall()), std::move(exchange));
  }
  serve_exec(loop, *pods, where, target, std::move(exchange));
}

}  // namespace mizzen::local
