// Lifecycle hooks: what is to be run right after a container's start and before its end.
#include <fmt/core.h>

#include "local/runtime/container.h"

namespace mizzen::local {

void Container::run_hook(const Json& handler, Duration timeout, std::function<void(Status)> done) {
  auto guarded = [alive = alive_, done = std::move(done)](Status status) {
    if (*alive) done(std::move(status));
  };
  if (handler.contains("exec")) {
    std::vector<std::string> words;
    for (const Json& word : at_path(handler, {"exec", "command"})) {
      if (word.is_string()) words.push_back(word.get<std::string>());
    }
    return exec(std::move(words), timeout, [guarded](Result<int> code) {
      if (!code) return guarded(std::unexpected(code.error()));
      if (*code == 0) return guarded({});
      guarded(fail(Code::kInternal, fmt::format("command exited with {}", *code)));
    });
  }
  if (handler.contains("sleep")) {
    const Json& seconds = at_path(handler, {"sleep", "seconds"});
    const Duration pause =
        std::chrono::seconds(seconds.is_number_integer() ? seconds.get<int>() : 0);
    loop_.after(std::min(timeout, pause), [guarded] { guarded({}); });
    return;
  }
  if (!handler.contains("httpGet")) {
    loop_.defer([guarded] {
      guarded(fail(Code::kUnsupported, "a lifecycle hook is one of exec, httpGet and sleep"));
    });
    return;
  }
  auto action = http_action(handler["httpGet"], spec_, host_.pod_ip(), timeout);
  if (!action) {
    loop_.defer([guarded, error = action.error()] { guarded(std::unexpected(error)); });
    return;
  }
  loop_.dispose(std::move(hook_client_));
  hook_client_ = std::make_unique<net::HttpClient>(loop_, std::move(action->client));
  hook_client_->fetch(std::move(action->request), [guarded](Result<net::Response> response) {
    if (!response) return guarded(std::unexpected(response.error()));
    if (response->status < 400) return guarded({});
    guarded(fail(Code::kUnavailable, fmt::format("status {}", response->status)));
  });
}

}  // namespace mizzen::local
