#include "upgrade.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "base/log.h"
#include "base/strings.h"

extern char** environ;

namespace mizzen {
namespace {

constexpr const char* kSocketVariable = "MIZZEN_UPGRADE_FD";
constexpr const char* kEpochVariable = "MIZZEN_RESTART_EPOCH";
constexpr const char* kAttendedVariable = "MIZZEN_ATTENDED";
constexpr Duration kReadyLimit = std::chrono::seconds(90);
constexpr int kSocketLimitSeconds = 10;
constexpr std::size_t kMostFds = 16;      // in one message
constexpr std::size_t kMostBytes = 4096;  // of a key

void limit_waiting(int socket) {
  const timeval limit{kSocketLimitSeconds, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Status say(int socket, std::string_view text, std::span<const int> fds = {}) {
  return io::send_fds(socket, std::as_bytes(std::span(text.data(), text.size())), fds);
}

std::vector<std::string> environment_of_child(int socket) {
  std::vector<std::string> made;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto name = text.substr(0, text.find('='));
    if (name == kSocketVariable || name == kEpochVariable || name == kAttendedVariable) continue;
    made.emplace_back(text);
  }
  made.push_back(std::string(kSocketVariable) + "=" + std::to_string(socket));
  made.push_back(std::string(kEpochVariable) + "=" + std::to_string(restart_epoch() + 1));
  made.push_back(std::string(kAttendedVariable) + "=1");
  return made;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> made;
  for (std::string& text : texts) made.push_back(text.data());
  made.push_back(nullptr);
  return made;
}

Result<pid_t> spawn(std::vector<std::string> arguments, int socket) {
  std::vector<std::string> environment = environment_of_child(socket);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, socket, socket);  // no longer close-on-exec
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  auto argv = pointers(arguments);
  auto envp = pointers(environment);
  const int failed = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed == 0) return pid;
  return fail(Code::kUnavailable, "cannot start " + arguments[0] + ": " + std::strerror(failed));
}

Status send_sockets(int socket, const proxy::SocketsByKey& sockets) {
  for (const auto& [key, fds] : sockets) {
    for (std::size_t at = 0; at < fds.size(); at += kMostFds) {
      std::vector<int> some;
      for (std::size_t i = at; i < std::min(fds.size(), at + kMostFds); ++i) {
        some.push_back(fds[i].get());
      }
      MIZZEN_CHECKED(say(socket, "S" + key, some));
    }
  }
  return say(socket, "E");
}

}  // namespace

void signal_children(int signal) {
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::ifstream file(task.path() / "children");
    for (pid_t pid = 0; file >> pid;) ::kill(pid, signal);
  }
}

unsigned restart_epoch() {
  const char* text = std::getenv(kEpochVariable);
  return text == nullptr ? 0 : parse_int<unsigned>(text).value_or(0);
}

bool is_attended() { return std::getenv(kAttendedVariable) != nullptr; }

std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> arguments;
  for (std::string_view part : split(text, '\0')) arguments.emplace_back(part);
  if (!arguments.empty() && arguments.back().empty()) arguments.pop_back();
  if (arguments.empty()) arguments.emplace_back();
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length > 0) {
    std::string_view program(path, static_cast<std::size_t>(length));
    constexpr std::string_view kReplaced = " (deleted)";
    if (program.ends_with(kReplaced)) program.remove_suffix(kReplaced.size());
    arguments[0] = program;
  }
  return arguments;
}

Successor::Successor(io::Loop& loop, io::UniqueFd socket, pid_t pid, Hooks hooks)
    : loop_(loop), socket_(std::move(socket)), pid_(pid), hooks_(std::move(hooks)) {}

Result<std::unique_ptr<Successor>> Successor::start(io::Loop& loop,
                                                    const std::vector<std::string>& arguments,
                                                    proxy::SocketsByKey sockets, Hooks hooks) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return fail(Code::kUnavailable, std::string("socketpair: ") + std::strerror(errno));
  }
  io::UniqueFd ours(pair[0]);
  io::UniqueFd theirs(pair[1]);
  limit_waiting(ours.get());
  // Whoever is orphaned below comes to this process, which stays.
  if (!is_attended()) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  MIZZEN_TRY(pid_t pid, spawn(arguments, theirs.get()));
  theirs.reset();
  std::unique_ptr<Successor> made(new Successor(loop, std::move(ours), pid, std::move(hooks)));
  if (Status sent = send_sockets(made->socket_.get(), sockets); !sent) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return std::unexpected(sent.error().in("handing over the sockets"));
  }
  MIZZEN_CHECKED(loop.watch_level(made->socket_.get(), made.get()));
  made->limit_ = loop.after(kReadyLimit, [raw = made.get()] {
    raw->limit_ = 0;
    raw->give_up("it was not ready in time");
  });
  return made;
}

Successor::~Successor() {
  loop_.cancel(limit_);
  if (socket_) loop_.unwatch(socket_.get());
}

void Successor::on_events(unsigned) {
  if (over_) return;
  std::array<std::byte, kMostBytes> buffer;
  auto got = io::recv_fds(socket_.get(), buffer);
  if (!got || got->bytes == 0) return give_up("it ended before it was ready");
  if (buffer[0] != std::byte{'R'}) return;
  over_ = true;
  loop_.unwatch(socket_.get());
  loop_.cancel(limit_);
  limit_ = 0;
  hooks_.ready();
  if (Status said = say(socket_.get(), "G"); !said) {
    log::warning("upgrade", "the successor is gone: {}", said.error().message);
  }
}

void Successor::give_up(std::string why) {
  over_ = true;
  loop_.unwatch(socket_.get());
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  hooks_.lost(why);
}

Result<std::optional<Predecessor>> Predecessor::from_environment() {
  const char* text = std::getenv(kSocketVariable);
  if (text == nullptr) return std::nullopt;
  const auto number = parse_int<int>(text);
  ::unsetenv(kSocketVariable);
  if (!number || ::fcntl(*number, F_SETFD, FD_CLOEXEC) != 0) {
    return fail(Code::kInvalid, std::string(kSocketVariable) + ": no descriptor");
  }
  Predecessor made{io::UniqueFd(*number)};
  limit_waiting(made.socket_.get());
  std::array<std::byte, kMostBytes> buffer;
  for (;;) {
    auto got = io::recv_fds(made.socket_.get(), buffer);
    if (!got) return std::unexpected(got.error().in("taking over the sockets"));
    if (got->bytes == 0) return fail(Code::kClosed, "the process to take over from is gone");
    const std::string_view message(reinterpret_cast<const char*>(buffer.data()), got->bytes);
    if (message[0] == 'E') return made;
    auto& fds = made.sockets_[std::string(message.substr(1))];
    for (io::UniqueFd& fd : got->fds) fds.push_back(std::move(fd));
  }
}

void Predecessor::say_ready() {
  if (Status said = say(socket_.get(), "R"); !said) return;
  std::array<std::byte, kMostBytes> buffer;
  (void)io::recv_fds(socket_.get(), buffer);  // "G", or it is gone
  socket_.reset();
}

int attend() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  int result = 0;
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    if (ended < 0 && errno == ECHILD) return result;
    int signal = 0;
    if (::sigwait(&signals, &signal) == 0 && signal != SIGCHLD) signal_children(signal);
  }
}

void become_attendant(const std::string& program) {
  std::vector<std::string> arguments = {program, "attend"};
  auto argv = pointers(arguments);
  ::execv(argv[0], argv.data());
  log::error("upgrade", "cannot attend: {}", std::strerror(errno));
}

}  // namespace mizzen
