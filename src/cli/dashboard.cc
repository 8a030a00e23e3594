// `dashboard`: a port of this machine that leads to a page in the cluster, until Ctrl-C.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/port_forward.h"
#include "object/json.h"

namespace mizzen::cli {
namespace {

// Something with a page of its own in the mesh's namespace, found by its label.
struct Addon {
  const char* name;
  const char* title;  // in messages
  const char* app;    // of its pods: label app, or app.kubernetes.io/name
  std::uint16_t port;
  const char* path;
};
constexpr Addon kAddons[] = {
    {"prometheus", "Prometheus", "prometheus", 9090, ""},
    {"grafana", "Grafana", "grafana", 3000, ""},
    {"kiali", "Kiali", "kiali", 20001, "/kiali"},
    {"jaeger", "Jaeger", "jaeger", 16686, ""},
    {"zipkin", "Zipkin", "zipkin", 9411, ""},
    {"skywalking", "SkyWalking", "skywalking-ui", 8080, ""},
};
constexpr std::uint16_t kAdminPort = 15000;
constexpr std::uint16_t kControlPort = 8080;

struct DashboardArguments {
  std::string address = "localhost";
  bool browser = true;
  std::uint16_t port = 0;  // of this machine; 0: the page's own, or any when that is taken
  std::string selector;
  std::string target;
};

struct Page {
  PodPort at;
  std::string path;
};

Result<Page> page_of(Session& session, const Addon& addon, const std::string& name_space) {
  const std::string ns = name_space.empty() ? session.istio_namespace() : name_space;
  for (const char* label : {"app.kubernetes.io/name", "app"}) {
    MIZZEN_TRY(auto pod, session.running_pod(ns, fmt::format("{}={}", label, addon.app)));
    if (pod) return Page{{ns, pod->name, addon.port}, addon.path};
  }
  return fail(Code::kNotFound,
              fmt::format("no {} pods found in namespace {} (label app={}); is it installed?",
                          addon.title, ns, addon.app));
}

Result<Page> proxy_page(Session& session, const DashboardArguments& arguments) {
  if (arguments.target.empty() && arguments.selector.empty())
    return fail(Code::kInvalid, "specify a pod, a workload (deploy/NAME) or --selector");
  if (!arguments.target.empty()) {
    MIZZEN_TRY(PodName pod, session.find_pod(arguments.target));
    return Page{{pod.name_space, pod.name, kAdminPort}, ""};
  }
  MIZZEN_TRY(auto pod, session.running_pod(session.name_space(), arguments.selector));
  if (!pod) return fail(Code::kNotFound, "no running pod has the labels " + arguments.selector);
  return Page{{pod->name_space, pod->name, kAdminPort}, ""};
}

Result<Page> control_page(Session& session, const DashboardArguments& arguments) {
  if (arguments.target.empty()) {
    MIZZEN_TRY(PodName pod, session.control_plane_pod());
    return Page{{pod.name_space, pod.name, kControlPort}, "/debug"};
  }
  MIZZEN_TRY(PodName pod, session.find_pod(arguments.target));
  return Page{{pod.name_space, pod.name, kControlPort}, "/debug"};
}

// As istioctl: the port asked for, or the page's own, or any that is free.
Result<std::unique_ptr<PortForward>> forward(Session& session, const PodPort& to,
                                             const DashboardArguments& arguments) {
  const std::string ip = arguments.address == "localhost" ? "127.0.0.1" : arguments.address;
  const auto problem = [](const Error& error) {
    fmt::print(stderr, "mizzenctl: {}\n", error.message);
  };
  const auto on = [&](std::uint16_t port) -> Result<std::unique_ptr<PortForward>> {
    MIZZEN_TRY(const io::Address listen, io::Address::parse_ip(ip, port));
    return PortForward::start(session.loop(), session.config(), to, listen, problem);
  };
  if (arguments.port != 0) return on(arguments.port);
  if (auto own = on(to.port)) return own;
  return on(0);
}

// Shows the page in the person's browser; what that prints is of no interest here.
bool open_browser(const std::string& url) {
  const pid_t pid = fork();
  if (pid < 0) return false;
  if (pid == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr ||
        std::freopen("/dev/null", "w", stderr) == nullptr)
      _exit(1);
    execlp("xdg-open", "xdg-open", url.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int serve(Session& session, const Page& page, const DashboardArguments& arguments) {
  auto forwarded = forward(session, page.at, arguments);
  if (!forwarded) {
    return complain(forwarded.error().in(
        fmt::format("cannot listen on {}:{}", arguments.address, arguments.port)));
  }
  const std::string url =
      fmt::format("http://{}:{}{}", arguments.address, (*forwarded)->address().port(), page.path);
  fmt::print("{}\n", url);
  std::fflush(stdout);
  io::Loop& loop = session.loop();
  io::Signals signals(loop, {SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  if (arguments.browser && !open_browser(url)) {
    fmt::print("Failed to open browser; open {} in your browser.\n", url);
    std::fflush(stdout);
  }
  loop.run();
  return 0;
}

void add_common(CLI::App* command, DashboardArguments& arguments) {
  command->add_option("--address", arguments.address, "address of this machine to listen on");
  command->add_option("--browser", arguments.browser, "false: do not open a browser");
  command->add_option("-p,--port", arguments.port,
                      "port of this machine; the page's own unless given");
}

template <class Find>
int run(Application& application, const DashboardArguments& arguments, Find&& find) {
  auto session = Session::open(application.flags);
  if (!session) return complain(session.error());
  Result<Page> page = find(**session);
  if (!page) return complain(page.error());
  return serve(**session, *page, arguments);
}

}  // namespace

void add_dashboard_commands(CLI::App& app, Application& application) {
  CLI::App* board = app.add_subcommand("dashboard", "show a page of the mesh until Ctrl-C");
  for (const char* alias : {"dash", "d"}) board->alias(alias);
  board->require_subcommand(1);
  for (const Addon& addon : kAddons) {
    auto arguments = std::make_shared<DashboardArguments>();
    CLI::App* command = board->add_subcommand(addon.name, fmt::format("{}'s page", addon.title));
    add_common(command, *arguments);
    command->callback([&application, &addon, arguments] {
      application.code = run(application, *arguments, [&](Session& session) {
        return page_of(session, addon, application.flags.name_space);
      });
    });
  }
  auto envoy = std::make_shared<DashboardArguments>();
  CLI::App* proxy = board->add_subcommand("envoy", "the administration page of a proxy");
  proxy->alias("proxy");
  add_common(proxy, *envoy);
  proxy->add_option("-l,--selector", envoy->selector, "labels of the proxy's pod");
  proxy->add_option("proxy", envoy->target, "POD[.NAMESPACE], deploy/NAME, ...");
  proxy->callback([&application, envoy] {
    application.code =
        run(application, *envoy, [&](Session& session) { return proxy_page(session, *envoy); });
  });
  auto control = std::make_shared<DashboardArguments>();
  CLI::App* controlz = board->add_subcommand("controlz", "the control plane's debug pages");
  controlz->alias("istiod-debug");
  add_common(controlz, *control);
  controlz->add_option("pod", control->target, "of the control plane; found unless given");
  controlz->callback([&application, control] {
    application.code = run(application, *control,
                           [&](Session& session) { return control_page(session, *control); });
  });
}

}  // namespace mizzen::cli
