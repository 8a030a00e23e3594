// `proxy-config log` and `proxy-config rootca-compare`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/dump.h"

namespace mizzen::cli {
namespace {

struct LogArguments {
  std::string proxy;
  std::string selector;
  std::string level;  // "debug", or "http:debug,connection:trace"
  bool reset = false;
  std::string output = "short";
};

// "all: info" of /logging's answer: the proxy's loggers with their levels.
Json loggers_of(std::string_view text) {
  Json out = Json::object();
  for (std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(": ");
    if (colon == line.npos) continue;
    out[std::string(trim(line.substr(0, colon)))] = std::string(trim(line.substr(colon + 2)));
  }
  return out;
}

// What to ask of /logging for `--level`: one query per item.
std::vector<std::string> queries_of(const LogArguments& arguments) {
  if (arguments.reset) return {"?level=warning"};
  std::vector<std::string> out;
  for (std::string_view item : split(arguments.level, ',')) {
    const std::string_view word = trim(item);
    if (word.empty()) continue;
    const std::size_t colon = word.find(':');
    out.push_back(colon == word.npos
                      ? fmt::format("?level={}", word)
                      : fmt::format("?{}={}", word.substr(0, colon), word.substr(colon + 1)));
  }
  return out;
}

Result<std::vector<PodName>> pods_of(Session& session, const LogArguments& arguments) {
  if (!arguments.selector.empty())
    return session.running_pods(session.name_space(), arguments.selector);
  if (arguments.proxy.empty())
    return fail(Code::kInvalid, "log requires a pod, a workload (deploy/NAME) or --selector");
  MIZZEN_TRY(PodName pod, session.find_pod(arguments.proxy));
  return std::vector<PodName>{pod};
}

Result<std::string> show_log(Session& session, const LogArguments& arguments) {
  MIZZEN_TRY(auto pods, pods_of(session, arguments));
  Json all = Json::object();
  std::string brief;
  for (const PodName& pod : pods) {
    std::string answer;
    for (const std::string& query : queries_of(arguments)) {
      MIZZEN_TRY(answer, session.admin_post(pod, "/logging" + query));
    }
    if (answer.empty()) {
      MIZZEN_TRY(answer, session.admin_page(pod, "/logging"));
    }
    const std::string name = pod.name + "." + pod.name_space;
    all[name] = loggers_of(answer);
    brief += fmt::format("{}:\n{}{}", name, answer, answer.ends_with("\n") ? "" : "\n");
  }
  if (arguments.output != "short") return format_as(all, arguments.output);
  return brief;
}

// The roots that a proxy trusts, as its config_dump shows them.
Result<std::string> root_of(Session& session, const std::string& name) {
  MIZZEN_TRY(PodName pod, session.find_pod(name));
  MIZZEN_TRY(std::string text, session.admin_page(pod, "/config_dump"));
  MIZZEN_TRY(Dump dump, Dump::parse(text));
  for (const Json& entry : dump.secrets()) {
    if (text_at(entry, {"name"}) != "ROOTCA") continue;
    const std::string bytes =
        text_at(entry, {"secret", "validation_context", "trusted_ca", "inline_bytes"});
    auto pem = base64_decode(bytes);
    if (pem) return std::string(trim(*pem));
  }
  return fail(Code::kNotFound, name + " has no ROOTCA secret");
}

int compare_roots(Application& application, const std::vector<std::string>& proxies) {
  auto session = Session::open(application.flags);
  if (!session) return complain(session.error());
  std::vector<std::string> roots;
  for (const std::string& proxy : proxies) {
    auto root = root_of(**session, proxy);
    if (!root) return complain(root.error().in("cannot read the root of " + proxy));
    roots.push_back(std::move(*root));
  }
  if (roots[0] == roots[1]) {
    fmt::print(
        "Both [{}] and [{}] have the identical ROOTCA, theoretically the connectivity "
        "between them is available\n",
        proxies[0], proxies[1]);
    return 0;
  }
  return complain({.message = fmt::format("{} and {} have different ROOTCA: they refuse each "
                                          "other's certificates",
                                          proxies[0], proxies[1])});
}

void add_log(CLI::App& config, Application& application) {
  auto arguments = std::make_shared<LogArguments>();
  CLI::App* log = config.add_subcommand("log", "show or set the log level of a proxy");
  log->alias("o");
  log->add_option("proxy", arguments->proxy, "POD[.NAMESPACE], deploy/NAME, ...");
  log->add_option("-l,--selector", arguments->selector, "labels of the proxies' pods");
  log->add_option("--level", arguments->level, "trace, debug, info, warning, error or off");
  log->add_flag("-r,--reset", arguments->reset, "back to warning");
  log->add_option("-o,--output", arguments->output, "short, json or yaml");
  log->callback([&application, arguments] {
    auto session = Session::open(application.flags);
    auto text = session ? show_log(**session, *arguments) : std::unexpected(session.error());
    if (text) {
      fmt::print("{}", *text);
    } else {
      application.code = complain(text.error());
    }
  });
}

}  // namespace

void add_proxy_state_commands(CLI::App& config, Application& application) {
  add_log(config, application);
  auto proxies = std::make_shared<std::vector<std::string>>();
  CLI::App* compare =
      config.add_subcommand("rootca-compare", "whether two proxies trust the same roots");
  compare->alias("rc");
  compare->add_option("proxies", *proxies, "two of POD[.NAMESPACE], deploy/NAME, ...")
      ->required()
      ->expected(2);
  compare->callback(
      [&application, proxies] { application.code = compare_roots(application, *proxies); });
}

}  // namespace mizzen::cli
