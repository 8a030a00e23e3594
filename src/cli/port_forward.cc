#include "cli/port_forward.h"

#include <fmt/format.h>

#include <array>

#include "cli/upgrade.h"
#include "http/websocket.h"
#include "kube/http_options.h"

namespace mizzen::cli {
namespace {

namespace websocket = http::websocket;

constexpr std::size_t kMaxLinks = 1000;
constexpr std::size_t kMaxMessage = 32 * 1024 * 1024;
constexpr std::size_t kMaxBacklog = 1024 * 1024;

}  // namespace

// One connection: the local stream on one side, the WebSocket on the other.
class PortForward::Link final : public std::enable_shared_from_this<Link> {
 public:
  Link(PortForward& owner, std::unique_ptr<io::Stream> near) : owner_(owner) {
    near_.stream = std::move(near);
  }

  void begin() {
    net::Request upgrade =
        websocket_request(fmt::format("/api/v1/namespaces/{}/pods/{}/portforward?ports={}",
                                      owner_.to_.name_space, owner_.to_.pod, owner_.to_.port),
                          "v4.channel.k8s.io", owner_.authorization_);
    owner_.client_.upgrade(std::move(upgrade),
                           [weak = weak_from_this()](Result<net::HttpClient::Upgraded> upgraded) {
                             auto self = weak.lock();
                             if (!self) return;
                             if (!upgraded) return self->end(&upgraded.error());
                             self->far_.stream = std::move(upgraded->stream);
                             self->far_.stream->set_handler(&self->far_);
                             self->near_.stream->set_handler(&self->near_);
                           });
  }

 private:
  struct Side final : io::StreamHandler {
    Side(Link& link, bool near) : link(link), near(near) {}
    void on_readable() override { link.pump(*this); }
    void on_writable() override { link.flush(*this); }
    void on_error(const Error&) override { link.end(nullptr); }
    Link& link;
    bool near;
    std::unique_ptr<io::Stream> stream;
    std::string output;
  };

  Side& other(const Side& side) { return side.near ? far_ : near_; }

  void pump(Side& from) {
    std::array<std::byte, 32 * 1024> buffer;
    while (!over_) {
      if (other(from).output.size() > kMaxBacklog) return from.stream->pause_reading(true);
      const io::IoResult got = from.stream->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      // These channels know no half-close: the end of one side is the end of both.
      if (got.status != io::IoStatus::kOk) return end(nullptr);
      take(from, {reinterpret_cast<const char*>(buffer.data()), got.bytes});
    }
  }

  void take(Side& from, std::string_view bytes) {
    if (from.near) {
      std::string message(1, '\0');
      message += bytes;
      websocket::append_frame(far_.output, websocket::Role::kClient, websocket::Opcode::kBinary,
                              message);
      return flush(far_);
    }
    Status fed = reader_.feed(bytes, [this](websocket::Opcode opcode, std::string_view payload) {
      on_message(opcode, payload);
    });
    if (!fed) end(&fed.error());
  }

  void on_message(websocket::Opcode opcode, std::string_view payload) {
    if (over_) return;
    if (opcode == websocket::Opcode::kClose) return end(nullptr);
    if (opcode == websocket::Opcode::kPing) {
      websocket::append_frame(far_.output, websocket::Role::kClient, websocket::Opcode::kPong,
                              payload);
      return flush(far_);
    }
    if (opcode == websocket::Opcode::kPong || payload.empty()) return;
    const auto channel = static_cast<unsigned char>(payload[0]);
    payload.remove_prefix(1);
    if (channel > 1) return;
    if (!announced_[channel]) {
      announced_[channel] = true;
      return;
    }
    if (channel == 0) {
      near_.output.append(payload);
      return flush(near_);
    }
    const Error problem{.code = Code::kUnavailable, .message = std::string(payload)};
    end(&problem);
  }

  void flush(Side& to) {
    while (!over_ && !to.output.empty()) {
      const io::IoResult put = to.stream->write(to.output);
      if (put.status == io::IoStatus::kError) return end(nullptr);
      if (put.bytes == 0) return;
      to.output.erase(0, put.bytes);
    }
    if (!over_) other(to).stream->pause_reading(false);
  }

  void end(const Error* problem) {
    if (over_) return;
    over_ = true;
    if (problem != nullptr) owner_.problem_(*problem);
    for (Side* side : {&near_, &far_}) {
      if (!side->stream) continue;
      side->stream->set_handler(nullptr);
      owner_.loop_.dispose(std::move(side->stream));
    }
    owner_.remove(this);
  }

  PortForward& owner_;
  Side near_{*this, true};
  Side far_{*this, false};
  websocket::Reader reader_{websocket::Role::kClient, kMaxMessage};
  std::array<bool, 2> announced_{};
  bool over_ = false;
};

PortForward::PortForward(io::Loop& loop, net::HttpClientOptions options,
                         net::HeaderList authorization, PodPort to,
                         std::function<void(const Error&)> problem)
    : loop_(loop),
      client_(loop, std::move(options)),
      authorization_(std::move(authorization)),
      to_(std::move(to)),
      problem_(std::move(problem)) {}

PortForward::~PortForward() = default;

Result<std::unique_ptr<PortForward>> PortForward::start(io::Loop& loop, const kube::Config& config,
                                                        PodPort to, const io::Address& listen,
                                                        std::function<void(const Error&)> problem) {
  MIZZEN_TRY(net::HttpClientOptions options, kube::http_options(config));
  std::unique_ptr<PortForward> out(new PortForward(loop, std::move(options), authorization(config),
                                                   std::move(to), std::move(problem)));
  PortForward* self = out.get();
  MIZZEN_TRY(out->listener_,
             io::Listener::listen(loop, listen, {}, [self](std::unique_ptr<io::Stream> stream) {
               self->accepted(std::move(stream));
             }));
  return out;
}

void PortForward::accepted(std::unique_ptr<io::Stream> stream) {
  if (links_.size() >= kMaxLinks) return;  // closes it
  auto link = std::make_shared<Link>(*this, std::move(stream));
  links_[link.get()] = link;
  link->begin();
}

void PortForward::remove(Link* link) {
  auto found = links_.find(link);
  if (found == links_.end()) return;
  // A call of the link's may be on the stack.
  loop_.defer([gone = std::move(found->second)] {});
  links_.erase(found);
}

}  // namespace mizzen::cli
