#include "local/runtime/session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "local/runtime/container_output.h"

namespace mizzen::local {
namespace {

constexpr std::size_t kChunk = 256 << 10;

class LogSession final : public PodSession {
 public:
  LogSession(io::Loop& loop, std::shared_ptr<ContainerLog> log, std::string path,
             LogOptions options, PodSessionEvents events)
      : loop_(loop),
        log_(std::move(log)),
        path_(std::move(path)),
        options_(options),
        events_(std::move(events)) {
    if (log_ != nullptr) {
      round_ = log_->round();
      if (options_.follow) follower_ = log_->follow([this] { schedule(); });
    }
    pending_ = read_log(path_, options_, &offset_);
    schedule();
  }
  ~LogSession() override {
    *alive_ = false;
    if (follower_ != 0) log_->unfollow(follower_);
  }
  void pause(bool paused) override {
    paused_ = paused;
    if (!paused) schedule();
  }

 private:
  void schedule() {
    if (scheduled_) return;
    scheduled_ = true;
    loop_.defer([this, alive = alive_] {
      if (!*alive) return;
      scheduled_ = false;
      send();
    });
  }
  void send() {
    if (paused_ || done_) return;
    if (pending_.empty() && follower_ != 0) {
      if (log_->round() != round_) {
        round_ = log_->round();
        offset_ = 0;
      }
      pending_ = read_log_from(path_, options_, &offset_);
    }
    if (!pending_.empty()) {
      std::string chunk = pending_.substr(0, kChunk);
      pending_.erase(0, chunk.size());
      std::weak_ptr<bool> alive = alive_;
      events_.on_stdout(chunk);
      if (alive.expired() || !*alive_) return;
      return schedule();
    }
    if (follower_ != 0 && !log_->closed()) return;
    done_ = true;
    events_.on_exit({});
  }

  io::Loop& loop_;
  std::shared_ptr<ContainerLog> log_;
  std::string path_;
  LogOptions options_;
  PodSessionEvents events_;
  std::uint64_t follower_ = 0;
  std::uint64_t round_ = 0;
  std::size_t offset_ = 0;
  std::string pending_;
  bool paused_ = false;
  bool scheduled_ = false;
  bool done_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class ExecSession final : public PodSession {
 public:
  ExecSession(io::Loop& loop, PodSessionEvents events) : loop_(loop), events_(std::move(events)) {}
  ~ExecSession() override {
    *alive_ = false;
    if (process_.pidfd) syscall(SYS_pidfd_send_signal, process_.pidfd.get(), SIGKILL, nullptr, 0);
  }

  Status start(Container& container, const ExecOptions& options, const WatchChild& watch_child) {
    LaunchSpec spec = container.spec_within(options.command);
    spec.tty = options.tty;
    Stdio stdio;
    io::UniqueFd child_in;
    io::UniqueFd child_out;
    io::UniqueFd child_err;
    if (options.tty) {
      MIZZEN_TRY(Terminal terminal, open_terminal());
      child_in = std::move(terminal.slave);
      tty_ = true;
      MIZZEN_TRY(out_.stream, io::adopt(loop_, std::move(terminal.master)));
      stdio = {child_in.get(), child_in.get(), child_in.get()};
      spec.env.emplace_back("TERM", "xterm");
    } else {
      if (options.with_stdin) MIZZEN_CHECKED(open_pipe(&child_in, &in_, true));
      MIZZEN_CHECKED(open_pipe(&child_out, &out_.stream, false));
      MIZZEN_CHECKED(open_pipe(&child_err, &err_.stream, false));
      stdio = {child_in.get(), child_out.get(), child_err.get()};
    }
    MIZZEN_TRY(process_, launch_within(spec, container.pid(), stdio));
    sockets_ = serve_sockets(loop_, process_, container.netns_fd());
    MIZZEN_TRY(failure_.stream, io::adopt(loop_, std::move(process_.failure)));
    watch_child(process_.pid, [this, alive = alive_](int status) {
      if (*alive) exited(status);
    });
    out_.begin(this, [this](std::string_view bytes) { events_.on_stdout(bytes); });
    err_.begin(this, [this](std::string_view bytes) { events_.on_stderr(bytes); });
    failure_.begin(this, [this](std::string_view bytes) { failure_text_ += bytes; });
    in_handler_.owner = this;
    if (in_ != nullptr && !tty_) in_->set_handler(&in_handler_);
    return {};
  }

  void write_stdin(std::string_view bytes) override {
    input_ += bytes;
    flush_input();
  }
  void close_stdin() override {
    input_closed_ = true;
    if (tty_) write_stdin("\x04");
    flush_input();
  }
  void resize(int columns, int rows) override {
    if (!tty_) return;
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    ioctl(out_.stream->fd(), TIOCSWINSZ, &size);
  }
  void pause(bool paused) override {
    for (Reader* reader : {&out_, &err_}) {
      if (reader->stream != nullptr) reader->stream->pause_reading(paused);
    }
  }

 private:
  struct Reader final : io::StreamHandler {
    void begin(ExecSession* session, std::function<void(std::string_view)> sink) {
      owner = session;
      take = std::move(sink);
      if (stream != nullptr)
        stream->set_handler(this);
      else
        ended = true;
    }
    void on_readable() override {
      std::array<std::byte, 16384> buffer;
      while (!ended) {
        auto result = stream->read(buffer);
        if (result.status == io::IoStatus::kWouldBlock) return;
        if (result.status != io::IoStatus::kOk) return end();
        auto alive = owner->alive_;
        take({reinterpret_cast<char*>(buffer.data()), result.bytes});
        if (!*alive) return;
      }
    }
    void on_writable() override { owner->flush_input(); }
    void on_error(const Error&) override { end(); }
    void end() {
      ended = true;
      owner->maybe_finish();
    }
    ExecSession* owner = nullptr;
    std::unique_ptr<io::Stream> stream;
    std::function<void(std::string_view)> take;
    bool ended = false;
  };
  struct InputHandler final : io::StreamHandler {
    void on_readable() override {}
    void on_writable() override { owner->flush_input(); }
    void on_error(const Error&) override {}
    ExecSession* owner = nullptr;
  };

  Status open_pipe(io::UniqueFd* child, std::unique_ptr<io::Stream>* ours, bool child_reads) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
    child->reset(fds[child_reads ? 0 : 1]);
    MIZZEN_TRY(*ours, io::adopt(loop_, io::UniqueFd(fds[child_reads ? 1 : 0])));
    return {};
  }
  void flush_input() {
    io::Stream* to = tty_ ? out_.stream.get() : in_.get();
    if (to == nullptr) return;
    while (!input_.empty()) {
      auto result = to->write(input_);
      if (result.status == io::IoStatus::kError) return input_.clear();
      if (result.bytes == 0) return;
      input_.erase(0, result.bytes);
    }
    if (input_closed_ && !tty_) loop_.dispose(std::move(in_));
  }
  void exited(int status) {
    process_.pidfd.reset();
    exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    has_exited_ = true;
    auto alive = alive_;
    for (Reader* reader : {&failure_, &out_, &err_}) {
      if (!reader->ended && reader->stream != nullptr) reader->on_readable();
      if (!*alive) return;
    }
    maybe_finish();
  }
  // The process has ended and its output is through, as far as nobody else holds the pipes.
  void maybe_finish() {
    if (!has_exited_ || told_) return;
    told_ = true;
    loop_.defer([this, alive = alive_] {
      if (!*alive) return;
      ExitResult result;
      result.exit_code = exit_code_;
      if (!failure_text_.empty()) result.error = failure_text_;
      events_.on_exit(result);
    });
  }

  io::Loop& loop_;
  PodSessionEvents events_;
  Launched process_;
  std::unique_ptr<MarkedSockets> sockets_;
  std::unique_ptr<io::Stream> in_;
  InputHandler in_handler_;
  Reader out_;
  Reader err_;
  Reader failure_;
  std::string failure_text_;
  std::string input_;
  bool input_closed_ = false;
  bool tty_ = false;
  bool has_exited_ = false;
  bool told_ = false;
  int exit_code_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class AttachSession final : public PodSession {
 public:
  AttachSession(io::Loop& loop, Container& container, PodSessionEvents events)
      : loop_(loop), container_(&container), events_(std::move(events)) {
    tap_ = container.tap({[this](bool is_stderr, std::string_view bytes) {
                            is_stderr ? events_.on_stderr(bytes) : events_.on_stdout(bytes);
                          },
                          [this] { ended(); }});
  }
  ~AttachSession() override {
    *alive_ = false;
    if (container_ != nullptr) container_->untap(tap_);
  }
  void write_stdin(std::string_view bytes) override {
    if (container_ != nullptr) container_->write_input(bytes);
  }
  void close_stdin() override {
    if (container_ != nullptr) container_->end_input();
  }
  void resize(int columns, int rows) override {
    if (container_ != nullptr) container_->resize_terminal(columns, rows);
  }
  // The log has it all: a slow reader holds nobody up.
  void pause(bool) override {}

 private:
  void ended() {
    container_ = nullptr;
    loop_.defer([this, alive = alive_] {
      if (*alive) events_.on_exit({});
    });
  }

  io::Loop& loop_;
  Container* container_;  // null once it has ended
  PodSessionEvents events_;
  std::uint64_t tap_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

Result<Terminal> open_terminal() {
  Terminal terminal;
  terminal.master.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.master || grantpt(terminal.master.get()) != 0 ||
      unlockpt(terminal.master.get()) != 0) {
    return std::unexpected(errno_error("open a terminal", errno));
  }
  char name[64];
  if (ptsname_r(terminal.master.get(), name, sizeof name) != 0)
    return std::unexpected(errno_error("ptsname", errno));
  terminal.slave.reset(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return std::unexpected(errno_error("open the terminal", errno));
  return terminal;
}

std::unique_ptr<PodSession> open_attach_session(io::Loop& loop, Container& container,
                                                PodSessionEvents events) {
  return std::make_unique<AttachSession>(loop, container, std::move(events));
}

std::unique_ptr<PodSession> open_log_session(io::Loop& loop, Container& container,
                                             const LogOptions& options, PodSessionEvents events) {
  if (options.previous) {
    LogOptions plain = options;
    plain.follow = false;
    return std::make_unique<LogSession>(loop, nullptr, container.previous_log(), plain,
                                        std::move(events));
  }
  return std::make_unique<LogSession>(loop, container.log(), container.log()->path(), options,
                                      std::move(events));
}

Result<std::unique_ptr<PodSession>> open_exec_session(io::Loop& loop, Container& container,
                                                      const ExecOptions& options,
                                                      PodSessionEvents events,
                                                      const WatchChild& watch_child) {
  if (options.command.empty()) return fail(Code::kInvalid, "you must specify at least one command");
  auto session = std::make_unique<ExecSession>(loop, std::move(events));
  MIZZEN_CHECKED(session->start(container, options, watch_child));
  return session;
}

}  // namespace mizzen::local
