#include "proxy/bootstrap/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"

extern char** environ;

namespace mizzen::proxy {
namespace {

constexpr unsigned kMark = 1337;  // SO_MARK of sockets that must not be captured

std::vector<std::string> list(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view part : split(text, ',')) {
    if (part = trim(part); !part.empty()) out.emplace_back(part);
  }
  return out;
}

Status check_ports(std::string_view flag, const std::vector<std::string>& ports) {
  for (const std::string& port : ports) {
    if (!parse_int<std::uint16_t>(port)) {
      return fail(Code::kInvalid, fmt::format("{}: {} is not a port", flag, port));
    }
  }
  return {};
}

struct Argument {
  std::string_view short_name;
  std::string_view long_name;
  bool has_value;
};
constexpr Argument kFlags[] = {
    {"-p", "--envoy-port", true},
    {"-z", "--inbound-capture-port", true},
    {"-e", "--inbound-tunnel-port", true},
    {"-u", "--proxy-uid", true},
    {"-g", "--proxy-gid", true},
    {"-m", "--istio-inbound-interception-mode", true},
    {"-i", "--istio-service-cidr", true},
    {"-x", "--istio-service-exclude-cidr", true},
    {"-b", "--istio-inbound-ports", true},
    {"-d", "--istio-local-exclude-ports", true},
    {"-q", "--istio-outbound-ports", true},
    {"-o", "--istio-local-outbound-ports-exclude", true},
    {"-k", "--kube-virt-interfaces", true},
    {"-c", "--istio-exclude-interfaces", true},
    {"-t", "--istio-inbound-tproxy-mark", true},
    {"-r", "--istio-inbound-tproxy-route-table", true},
    {"-n", "--dry-run", false},
    {"", "--redirect-dns", false},
    {"", "--capture-all-dns", false},
    {"", "--skip-rule-apply", false},
    {"", "--run-validation", false},
    {"", "--force-apply", false},
    {"-w", "--reconcile", false},
    {"", "--native-nftables", false},
    {"", "--drop-invalid", false},
    {"", "--log_output_level", true},
    {"", "--log_as_json", false},
};

Status apply_flag(CaptureOptions& options, std::string_view name, std::string_view value) {
  auto port = [&](std::uint16_t& to) -> Status {
    auto parsed = parse_int<std::uint16_t>(value);
    if (!parsed || *parsed == 0) {
      return fail(Code::kInvalid, fmt::format("{}: {} is not a port", name, value));
    }
    to = *parsed;
    return {};
  };
  auto refuse = [&]() -> Status {
    return fail(Code::kUnsupported, fmt::format("{} {}: not supported", name, value));
  };
  if (name == "--envoy-port") return port(options.outbound_port);
  if (name == "--inbound-capture-port") return port(options.inbound_port);
  if (name == "--proxy-uid") options.uids = list(value);
  if (name == "--proxy-gid") options.gids = list(value);
  if (name == "--istio-inbound-interception-mode" && value != "REDIRECT") return refuse();
  if (name == "--istio-service-cidr") {
    options.include_all_outbound = value == "*";
    if (value != "*") options.include_outbound = list(value);
  }
  if (name == "--istio-service-exclude-cidr") options.exclude_outbound = list(value);
  if (name == "--istio-inbound-ports") {
    options.include_all_inbound = value == "*";
    if (value != "*") options.include_inbound = list(value);
    return check_ports(name, options.include_inbound);
  }
  if (name == "--istio-local-exclude-ports") {
    options.exclude_inbound = list(value);
    return check_ports(name, options.exclude_inbound);
  }
  if (name == "--istio-outbound-ports") {
    options.include_outbound_ports = list(value);
    return check_ports(name, options.include_outbound_ports);
  }
  if (name == "--istio-local-outbound-ports-exclude") {
    options.exclude_outbound_ports = list(value);
    return check_ports(name, options.exclude_outbound_ports);
  }
  if ((name == "--kube-virt-interfaces" || name == "--istio-exclude-interfaces") &&
      !value.empty()) {
    return refuse();
  }
  // Whatever server a query is meant for: there is no narrower capture.
  if (name == "--redirect-dns" || name == "--capture-all-dns") {
    options.dns = options.dns || value != "false";
  }
  if (name == "--dry-run" || name == "--skip-rule-apply") options.dry_run = value != "false";
  return {};
}

}  // namespace

Result<CaptureOptions> parse_capture(std::span<const std::string> arguments) {
  CaptureOptions options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    auto equals = argument.starts_with("--") ? argument.find('=') : std::string_view::npos;
    std::string_view name = argument.substr(0, equals);
    const Argument* flag = nullptr;
    for (const Argument& known : kFlags) {
      if (name == known.long_name || (!known.short_name.empty() && name == known.short_name)) {
        flag = &known;
      }
    }
    if (flag == nullptr) return fail(Code::kInvalid, fmt::format("unknown flag {}", name));
    std::string_view value = "true";
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (flag->has_value) {
      if (++i == arguments.size()) return fail(Code::kInvalid, fmt::format("{}: no value", name));
      value = arguments[i];
    }
    MIZZEN_CHECKED(apply_flag(options, flag->long_name, value));
  }
  return options;
}

namespace {

bool is_ipv6(std::string_view range) { return range.find(':') != std::string_view::npos; }

// One family's view of where the rules differ.
struct FamilyWords {
  bool ipv6;
  std::string_view loopback() const { return ipv6 ? "::1/128" : "127.0.0.1/32"; }
  std::string_view proxy_source() const { return ipv6 ? "::6/128" : "127.0.0.6/32"; }
};

void nft_output(std::string& out, const CaptureOptions& o, FamilyWords family) {
  std::string_view ip = family.ipv6 ? "ip6" : "ip";
  auto line = [&](std::string_view rule) {
    out += "    ";
    out += rule;
    out += '\n';
  };
  line(fmt::format("{} saddr {} oifname \"lo\" return", ip, family.proxy_source()));
  for (const auto& [word, ids] : {std::pair{"skuid", &o.uids}, std::pair{"skgid", &o.gids}}) {
    for (const std::string& id : *ids) {
      line(
          fmt::format("oifname \"lo\" {} daddr != {} meta {} {} tcp dport != 15008 redirect to :{}",
                      ip, family.loopback(), word, id, o.inbound_port));
    }
  }
}

// The agent listens on IPv4's loopback.
void nft_dns(std::string& out, const CaptureOptions& o) {
  for (const auto& [word, ids] : {std::pair{"skuid", &o.uids}, std::pair{"skgid", &o.gids}}) {
    for (const std::string& id : *ids) {
      out += fmt::format("    meta l4proto udp meta {} {} return\n", word, id);
    }
  }
  out += fmt::format("    meta nfproto ipv4 udp dport 53 redirect to :{}\n", api::kDnsPort);
}

void nft_ranges(std::string& out, const CaptureOptions& o, FamilyWords family) {
  std::string_view ip = family.ipv6 ? "ip6" : "ip";
  out += fmt::format("    {} daddr {} return\n", ip, family.loopback());
  for (const std::string& port : o.include_outbound_ports) {
    out += fmt::format("    {} daddr != {} tcp dport {} redirect to :{}\n", ip, family.loopback(),
                       port, o.outbound_port);
  }
  for (const std::string& range : o.exclude_outbound) {
    if (is_ipv6(range) == family.ipv6) out += fmt::format("    {} daddr {} return\n", ip, range);
  }
  for (const std::string& range : o.include_outbound) {
    if (is_ipv6(range) != family.ipv6) continue;
    out += fmt::format("    {} daddr {} tcp dport 0-65535 redirect to :{}\n", ip, range,
                       o.outbound_port);
  }
}

}  // namespace

std::string nft_rules(const CaptureOptions& o) {
  // The first line makes the second succeed when there is no table yet.
  std::string out =
      "table inet mizzen_capture\ndelete table inet mizzen_capture\ntable inet mizzen_capture {\n";
  if (o.include_all_inbound || !o.include_inbound.empty()) {
    out += "  chain inbound {\n    type nat hook prerouting priority dstnat; policy accept;\n";
    out += "    meta l4proto != tcp return\n    tcp dport 15008 return\n";
    for (const std::string& port : o.exclude_inbound) {
      out += fmt::format("    tcp dport {} return\n", port);
    }
    if (o.include_all_inbound) {
      out += fmt::format("    tcp dport 0-65535 redirect to :{}\n", o.inbound_port);
    }
    for (const std::string& port : o.include_inbound) {
      out += fmt::format("    tcp dport {} redirect to :{}\n", port, o.inbound_port);
    }
    out += "  }\n";
  }
  out += "  chain outbound {\n    type nat hook output priority -100; policy accept;\n";
  if (o.dns) nft_dns(out, o);
  out += "    meta l4proto != tcp return\n";
  out += fmt::format("    meta mark {} return\n", kMark);
  for (const std::string& port : o.exclude_outbound_ports) {
    out += fmt::format("    tcp dport {} return\n", port);
  }
  nft_output(out, o, {false});
  nft_output(out, o, {true});
  for (const std::string& id : o.uids) out += fmt::format("    meta skuid {} return\n", id);
  for (const std::string& id : o.gids) out += fmt::format("    meta skgid {} return\n", id);
  // An application that talks to itself over loopback is left alone.
  out += "    oifname \"lo\" return\n";
  nft_ranges(out, o, {false});
  nft_ranges(out, o, {true});
  if (o.include_all_outbound) {
    out += fmt::format("    tcp dport 0-65535 redirect to :{}\n", o.outbound_port);
  }
  return out + "  }\n}\n";
}

std::string iptables_rules(const CaptureOptions& o, bool ipv6) {
  FamilyWords family{ipv6};
  std::string out = "*nat\n:MIZZEN_INBOUND - [0:0]\n:MIZZEN_OUTPUT - [0:0]\n";
  auto rule = [&](std::string_view chain, std::string_view text) {
    out += fmt::format("-A {} {}\n", chain, text);
  };
  auto to = [](std::uint16_t port) {
    return fmt::format("-p tcp -j REDIRECT --to-ports {}", port);
  };
  out += "-A PREROUTING -p tcp -j MIZZEN_INBOUND\n-A OUTPUT -p tcp -j MIZZEN_OUTPUT\n";
  rule("MIZZEN_INBOUND", "-p tcp --dport 15008 -j RETURN");
  for (const std::string& port : o.exclude_inbound) {
    rule("MIZZEN_INBOUND", fmt::format("-p tcp --dport {} -j RETURN", port));
  }
  if (o.include_all_inbound) rule("MIZZEN_INBOUND", to(o.inbound_port));
  for (const std::string& port : o.include_inbound) {
    rule("MIZZEN_INBOUND",
         fmt::format("-p tcp --dport {} -j REDIRECT --to-ports {}", port, o.inbound_port));
  }
  constexpr std::string_view kOut = "MIZZEN_OUTPUT";
  if (o.dns && !ipv6) {
    out += ":MIZZEN_DNS - [0:0]\n-A OUTPUT -p udp --dport 53 -j MIZZEN_DNS\n";
    for (const std::string& id : o.uids) {
      rule("MIZZEN_DNS", fmt::format("-m owner --uid-owner {} -j RETURN", id));
    }
    for (const std::string& id : o.gids) {
      rule("MIZZEN_DNS", fmt::format("-m owner --gid-owner {} -j RETURN", id));
    }
    rule("MIZZEN_DNS", fmt::format("-p udp -j REDIRECT --to-ports {}", api::kDnsPort));
  }
  rule(kOut, fmt::format("-m mark --mark {} -j RETURN", kMark));
  for (const std::string& port : o.exclude_outbound_ports) {
    rule(kOut, fmt::format("-p tcp --dport {} -j RETURN", port));
  }
  rule(kOut, fmt::format("-s {} -o lo -j RETURN", family.proxy_source()));
  for (const auto& [word, ids] : {std::pair{"uid", &o.uids}, std::pair{"gid", &o.gids}}) {
    for (const std::string& id : *ids) {
      rule(kOut, fmt::format("! -d {} -o lo -p tcp ! --dport 15008 -m owner --{}-owner {} -j "
                             "REDIRECT --to-ports {}",
                             family.loopback(), word, id, o.inbound_port));
    }
  }
  for (const std::string& id : o.uids)
    rule(kOut, fmt::format("-m owner --uid-owner {} -j RETURN", id));
  for (const std::string& id : o.gids)
    rule(kOut, fmt::format("-m owner --gid-owner {} -j RETURN", id));
  rule(kOut, "-o lo -j RETURN");
  rule(kOut, fmt::format("-d {} -j RETURN", family.loopback()));
  for (const std::string& port : o.include_outbound_ports) {
    rule(kOut, fmt::format("-p tcp --dport {} -j REDIRECT --to-ports {}", port, o.outbound_port));
  }
  for (const std::string& range : o.exclude_outbound) {
    if (is_ipv6(range) == ipv6) rule(kOut, fmt::format("-d {} -j RETURN", range));
  }
  for (const std::string& range : o.include_outbound) {
    if (is_ipv6(range) == ipv6) rule(kOut, fmt::format("-d {} {}", range, to(o.outbound_port)));
  }
  if (o.include_all_outbound) rule(kOut, to(o.outbound_port));
  return out + "COMMIT\n";
}

namespace {

// Runs a program with `input` on its standard input; its standard error stays ours.
Status run(const std::vector<std::string>& command, std::string_view input) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[0]);
  if (error != 0) {
    ::close(ends[1]);
    return std::unexpected(errno_error(command[0], error));
  }
  while (!input.empty()) {
    ssize_t n = ::write(ends[1], input.data(), input.size());
    if (n <= 0) break;
    input.remove_prefix(static_cast<std::size_t>(n));
  }
  ::close(ends[1]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  Code kind = code == 127 ? Code::kNotFound : Code::kInternal;
  return fail(kind, fmt::format("{} ended with status {}", command[0], code));
}

// By PATH, or where Debian has it when PATH lacks it.
Status run_system(const std::string& program, const std::vector<std::string>& arguments,
                  std::string_view input) {
  Status last;
  for (const std::string& folder : {std::string(), std::string("/usr/sbin/")}) {
    std::vector<std::string> command = {folder + program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    last = run(command, input);
    if (last || last.error().code != Code::kNotFound) return last;
  }
  return last;
}

}  // namespace

Status apply_capture(const CaptureOptions& options) {
  std::string rules = nft_rules(options);
  if (options.dry_run) {
    std::fwrite(rules.data(), 1, rules.size(), stdout);
    return {};
  }
  signal(SIGPIPE, SIG_IGN);
  Status nft = run_system("nft", {"-f", "-"}, rules);
  if (nft) return {};
  log::warning("capture", "{}; trying iptables", nft.error().message);
  Status v4 = run_system("iptables-restore", {"--noflush"}, iptables_rules(options, false));
  if (!v4) {
    return fail(Code::kUnavailable,
                fmt::format("no capture rules: {}; {}", nft.error().message, v4.error().message));
  }
  if (Status v6 = run_system("ip6tables-restore", {"--noflush"}, iptables_rules(options, true));
      !v6) {
    log::warning("capture", "IPv6 is not captured: {}", v6.error().message);
  }
  return {};
}

}  // namespace mizzen::proxy
