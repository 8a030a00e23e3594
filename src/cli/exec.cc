#include "cli/exec.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "cli/upgrade.h"
#include "http/websocket.h"
#include "kube/http_options.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::cli {
namespace {

namespace websocket = http::websocket;

constexpr std::size_t kMaxOutput = 256 * 1024 * 1024;
constexpr std::size_t kMaxMessage = 32 * 1024 * 1024;

std::string target_of(const ExecRequest& request) {
  std::string out = fmt::format("/api/v1/namespaces/{}/pods/{}/exec?stdout=true&stderr=true",
                                request.name_space, request.pod);
  if (!request.container.empty()) out += "&container=" + net::url_encode(request.container);
  for (const std::string& word : request.command) out += "&command=" + net::url_encode(word);
  return out;
}

class WebSocketExec final : public Exec, private io::StreamHandler {
 public:
  WebSocketExec(io::Loop& loop, net::HttpClientOptions options,
                std::function<void(Result<std::string>)> done)
      : client_(loop, std::move(options)), done_(std::move(done)) {}

  void begin(const kube::Config& config, const ExecRequest& request) {
    net::Request upgrade = websocket_request(
        target_of(request), "v5.channel.k8s.io, v4.channel.k8s.io", authorization(config));
    client_.upgrade(std::move(upgrade), [this](Result<net::HttpClient::Upgraded> upgraded) {
      if (!upgraded) return finish(std::unexpected(upgraded.error()));
      stream_ = std::move(upgraded->stream);
      stream_->set_handler(this);
    });
  }

 private:
  void on_readable() override {
    std::array<std::byte, 64 * 1024> buffer;
    while (done_) {
      io::IoResult got = stream_->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      if (got.status != io::IoStatus::kOk) return ended();
      Status fed = reader_.feed(
          {reinterpret_cast<const char*>(buffer.data()), got.bytes},
          [this](websocket::Opcode opcode, std::string_view payload) { take(opcode, payload); });
      if (!fed) return finish(std::unexpected(fed.error()));
    }
  }
  void on_writable() override {}
  void on_error(const Error&) override { ended(); }

  void take(websocket::Opcode opcode, std::string_view payload) {
    if (opcode == websocket::Opcode::kClose) return ended();
    if (payload.empty() || opcode == websocket::Opcode::kPing) return;
    std::string_view bytes = payload.substr(1);
    switch (payload[0]) {
      case 1:
        out_.append(bytes);
        break;
      case 2:
        err_.append(bytes);
        break;
      case 3:
        result_.append(bytes);
        break;
      default:
        break;
    }
    if (out_.size() + err_.size() > kMaxOutput) {
      finish(fail(Code::kLimit, "the command's output has more than 256 MiB"));
    }
  }

  void ended() {
    if (!done_) return;
    nlohmann::json status = nlohmann::json::parse(result_, nullptr, false);
    if (!status.is_object()) {
      return finish(fail(Code::kReset, "the command was cut off: " + err_, Side::kUpstream));
    }
    if (status.value("status", "") == "Success") return finish(std::move(out_));
    finish(fail(Code::kInternal, fmt::format("{}{}{}", status.value("message", "failed"),
                                             err_.empty() ? "" : ": ", err_)));
  }

  void finish(Result<std::string> result) {
    auto done = std::move(done_);
    done_ = nullptr;
    if (done) done(std::move(result));
  }

  net::HttpClient client_;
  std::function<void(Result<std::string>)> done_;
  std::unique_ptr<io::Stream> stream_;
  websocket::Reader reader_{websocket::Role::kClient, kMaxMessage};
  std::string out_;
  std::string err_;
  std::string result_;
};

}  // namespace

Result<std::unique_ptr<Exec>> Exec::start(io::Loop& loop, const kube::Config& config,
                                          const ExecRequest& request,
                                          std::function<void(Result<std::string>)> done) {
  MIZZEN_TRY(net::HttpClientOptions options, kube::http_options(config));
  auto exec = std::make_unique<WebSocketExec>(loop, std::move(options), std::move(done));
  exec->begin(config, request);
  return exec;
}

}  // namespace mizzen::cli
