#include "small.h"

#include <fmt/format.h>

#include <array>
#include <unordered_map>

#include "io/listener.h"

namespace mizzen::samples {
namespace {

constexpr std::size_t kMaxPending = 64 * 1024;  // a longer line, or a peer that does not read

class EchoConnection final : public io::StreamHandler {
 public:
  EchoConnection(std::unique_ptr<io::Stream> stream, const std::string& prefix,
                 std::function<void(EchoConnection*)> gone)
      : stream_(std::move(stream)), prefix_(prefix), gone_(std::move(gone)) {
    stream_->set_handler(this);
  }

  void on_readable() override {
    std::array<std::byte, 4096> buffer;
    for (;;) {
      io::IoResult got = stream_->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      if (got.status != io::IoStatus::kOk) return gone_(this);
      line_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
      answer();
      if (line_.size() > kMaxPending || out_.size() > kMaxPending) return gone_(this);
    }
  }
  void on_writable() override { flush(); }
  void on_error(const Error&) override { gone_(this); }

 private:
  void answer() {
    for (std::size_t end; (end = line_.find('\n')) != line_.npos;) {
      out_ += fmt::format("{} {}\n", prefix_, std::string_view(line_).substr(0, end));
      line_.erase(0, end + 1);
    }
    flush();
  }
  void flush() {
    while (!out_.empty()) {
      io::IoResult put = stream_->write(out_);
      if (put.status != io::IoStatus::kOk) return;
      out_.erase(0, put.bytes);
    }
  }

  std::unique_ptr<io::Stream> stream_;
  const std::string& prefix_;
  std::function<void(EchoConnection*)> gone_;
  std::string line_;
  std::string out_;
};

}  // namespace

Handler helloworld() {
  return [](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(text(200, "Helloworld is healthy"));
    if (call.path != "/hello") return answer(text(404, "Not Found"));
    answer(text(200, fmt::format("Hello version: {}, instance: {}\n",
                                 env_or("SERVICE_VERSION", "v1"), env_or("HOSTNAME", "unknown"))));
  };
}

struct TcpEcho::State {
  explicit State(io::Loop& loop) : loop(loop) {}
  io::Loop& loop;
  std::string prefix;
  std::unordered_map<EchoConnection*, std::unique_ptr<EchoConnection>> connections;
  std::vector<std::unique_ptr<io::Listener>> listeners;

  void accept(std::unique_ptr<io::Stream> stream) {
    auto connection =
        std::make_unique<EchoConnection>(std::move(stream), prefix, [this](EchoConnection* gone) {
          auto found = connections.find(gone);
          if (found == connections.end()) return;
          loop.dispose(std::move(found->second));
          connections.erase(found);
        });
    connections.emplace(connection.get(), std::move(connection));
  }
};

TcpEcho::TcpEcho(std::unique_ptr<State> state) : state_(std::move(state)) {}
TcpEcho::~TcpEcho() = default;

Result<std::unique_ptr<TcpEcho>> TcpEcho::listen(io::Loop& loop,
                                                 const std::vector<std::uint16_t>& ports,
                                                 std::string prefix) {
  auto state = std::make_unique<State>(loop);
  state->prefix = std::move(prefix);
  State* raw = state.get();
  for (std::uint16_t port : ports) {
    MIZZEN_TRY(auto listener, io::Listener::listen(loop, io::Address::any(port), {},
                                                   [raw](std::unique_ptr<io::Stream> stream) {
                                                     raw->accept(std::move(stream));
                                                   }));
    state->listeners.push_back(std::move(listener));
  }
  return std::unique_ptr<TcpEcho>(new TcpEcho(std::move(state)));
}

}  // namespace mizzen::samples
