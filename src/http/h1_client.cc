#include <utility>

#include "base/strings.h"
#include "http/h1_connection.h"

namespace mizzen::http {

namespace h1 {
namespace {

constexpr int kMaxInterim = 100;  // interim answers to one request

class Client final : public Connection<ClientCodec> {
 public:
  using Connection::Connection;

  bool can_submit() const override { return stream_ == nullptr && in_ == In::kHead && keep_alive_; }

  StreamId submit(const RequestHead& head, bool end, StreamEvents* events) override {
    ++id_;
    stream_ = events;
    in_ = In::kHead;
    interim_ = 0;
    output_done_ = false;
    head_request_ = head.method == "HEAD";
    connect_ = head.is_connect();
    tunnel_ = connect_ || !head.upgrade.empty();
    early_end_ = false;
    early_.clear();
    BodyFraming framing = BodyFraming::kNone;
    std::uint64_t length = 0;
    const auto declared = head.headers.get("content-length");
    if (tunnel_) {
      end = false;
    } else if (declared) {
      framing = BodyFraming::kLength;
      length = parse_int<std::uint64_t>(*declared).value_or(0);
    } else if (!end) {
      framing = BodyFraming::kChunked;
    }
    write(head, end, framing);
    start_output(framing, length);
    if (end) end_output();
    note_work();
    return id_;
  }

  void send_data(StreamId id, std::string_view bytes, bool end) override {
    if (id != id_ || stream_ == nullptr) return;
    if (tunnel_ && out_framing_ != BodyFraming::kOpaque) {  // not accepted yet
      early_.append(bytes);
      early_end_ = end;
      return;
    }
    Connection::send_data(id, bytes, end);
  }

  void rebind(StreamId id, StreamEvents* events) override {
    if (id == id_ && stream_ != nullptr) stream_ = events;
  }

  // What waits for a tunnel to be accepted counts, or nothing would hold its sender back.
  std::size_t buffered(StreamId id) const override {
    return Connection::buffered(id) + (id == id_ ? early_.size() : 0);
  }

  void drain() override {
    keep_alive_ = false;
    if (stream_ == nullptr && in_ == In::kHead) {
      in_ = In::kClosed;
      note_work();
    }
  }

 protected:
  bool expects_head() const override { return stream_ != nullptr; }

  std::expected<void, Refusal> take_head(std::string_view text) override {
    ResponseHead head;
    auto framing = parse_response(text, options_, head);
    if (!framing) return std::unexpected(framing.error());
    if (head.is_informational()) {
      if (++interim_ > kMaxInterim) return std::unexpected(Refusal{502, "too many 1xx responses"});
      stream_->on_informational(std::move(head));
      return {};
    }
    if (!framing->keep_alive) keep_alive_ = false;
    // A 2xx opens a tunnel only for CONNECT; an Upgrade needs its 101.
    const bool connected = connect_ && head.status >= 200 && head.status < 300;
    if (head.status == 101 || connected) return accept(std::move(head));
    if (tunnel_) {  // refused: what was sent for it is nobody's, and so is what follows
      keep_alive_ = false;
      early_.clear();
      end_output();
    }
    start_body(head, *framing);
    const bool end = in_ == In::kWaiting;
    stream_->on_response(std::move(head), end);
    return {};
  }

 private:
  void write(const RequestHead& head, bool end, BodyFraming framing) {
    const bool declared = head.headers.has("content-length");
    const bool wants_length =
        end && (head.method == "POST" || head.method == "PUT" || head.method == "PATCH");
    if (declared ? !tunnel_ : !wants_length) return write_request(out_, head, framing, options_);
    RequestHead changed = head.clone();
    if (tunnel_) {
      // What follows is the tunnel's: a length would let it begin in the middle of something else.
      changed.headers.remove("content-length");
    } else {
      changed.headers.add_borrowed("content-length", "0");
    }
    write_request(out_, changed, framing, options_);
  }

  std::expected<void, Refusal> accept(ResponseHead&& head) {
    if (!tunnel_) return std::unexpected(Refusal{502, "101 without an upgrade"});
    begin_opaque();
    stream_->on_response(std::move(head), false);
    if (stream_ != nullptr && (!early_.empty() || early_end_)) {
      Connection::send_data(id_, std::exchange(early_, {}), early_end_);
    }
    return {};
  }

  // RFC 9112 6.3.
  void start_body(const ResponseHead& head, const Framing& framing) {
    if (head_request_ || head.status == 204 || head.status == 304 ||
        (framing.length && *framing.length == 0)) {
      in_ = In::kWaiting;
      return;
    }
    in_ = In::kBody;
    if (framing.chunked) {
      body_.start(BodyFraming::kChunked, 0);
    } else if (framing.length) {
      body_.start(BodyFraming::kLength, *framing.length);
    } else {
      keep_alive_ = false;
      body_.start(BodyFraming::kUntilClose, 0);
    }
  }

  std::string early_;  // tunnel bytes sent before the peer accepted
  int interim_ = 0;
  bool early_end_ = false;
  bool head_request_ = false;
  bool tunnel_ = false;
  bool connect_ = false;
};

}  // namespace
}  // namespace h1

std::unique_ptr<ClientCodec> make_h1_client(const CodecOptions& options, ConnectionEvents* events) {
  return std::make_unique<h1::Client>(options, events);
}

}  // namespace mizzen::http
