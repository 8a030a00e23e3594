#include <fmt/format.h>

#include <utility>

#include "base/cell_pool.h"
#include "base/strings.h"
#include "http/h1_connection.h"

namespace mizzen::http {

namespace h1 {
namespace {

class Server final : public Connection<ServerCodec>, public InCells<Server> {
 public:
  using Connection::Connection;

  void respond(StreamId id, const ResponseHead& head, bool end) override {
    if (id != id_ || stream_ == nullptr || responded_) return;
    responded_ = true;
    const bool accepted = (head.status == 101 && !upgrade_.empty()) ||
                          (connect_ && head.status >= 200 && head.status < 300);
    if (list_has_token(head.headers.get_or("connection", ""), "close") || draining_) {
      keep_alive_ = false;
    }
    BodyFraming framing = BodyFraming::kNone;
    std::uint64_t length = 0;
    const bool bodiless =
        head_request_ || head.status == 204 || head.status == 304 || head.status < 200;
    const auto declared = head.headers.get("content-length");
    if (accepted) {
      begin_opaque();
      framing = BodyFraming::kOpaque;
    } else if (bodiless) {
      end = true;
    } else if (declared) {
      framing = BodyFraming::kLength;
      length = parse_int<std::uint64_t>(*declared).value_or(0);
    } else if (!end) {
      framing = http10_ ? BodyFraming::kUntilClose : BodyFraming::kChunked;
      if (http10_) keep_alive_ = false;
    }
    write_head(head, framing, end && !bodiless && !declared && !accepted);
    start_output(framing, length);
    if (end) end_output();
    note_work();
  }

  void inform(StreamId id, const ResponseHead& head) override {
    if (id != id_ || stream_ == nullptr || responded_ || http10_) return;
    write_response(out_, head, BodyFraming::kNone, true, false, {}, options_);
    note_work();
  }

  bool head_pending() const override { return stream_ == nullptr && in_ == In::kHead && keeps(); }

  void refuse(int status) override {
    if (head_pending()) fail_with({status, "the head did not come in time"});
    note_work();
  }

  // An answer whose head has left promised another: that one says that it is the last.
  void drain() override {
    draining_ = true;
    if (stream_ == nullptr && in_ == In::kHead) {
      in_ = In::kClosed;
      note_work();
    }
  }

 protected:
  bool expects_head() const override { return true; }

  std::expected<void, Refusal> take_head(std::string_view text) override {
    RequestHead head;
    auto framing = parse_request(text, options_, head);
    if (!framing) return std::unexpected(framing.error());
    ++id_;
    const bool body = framing->chunked || framing->length.value_or(0) > 0;
    if (body) head.upgrade = {};
    connect_ = head.is_connect();
    upgrade_.assign(head.upgrade);
    head_request_ = head.method == "HEAD";
    http10_ = head.protocol == Protocol::kHttp10;
    responded_ = output_done_ = false;
    keep_alive_ = framing->keep_alive;
    start_output(BodyFraming::kNone, 0);
    const bool tunnel = connect_ || !upgrade_.empty();
    if (body && connect_) return std::unexpected(Refusal{400, "CONNECT with a body"});
    if (body) {
      body_.start(framing->chunked ? BodyFraming::kChunked : BodyFraming::kLength,
                  framing->length.value_or(0));
      in_ = In::kBody;
    } else {
      in_ = In::kWaiting;
    }
    // The handler may answer, and even reset, before it has been returned.
    stream_ = &nobody_;
    StreamEvents* handler = events_->on_request(id_, std::move(head), !body && !tunnel);
    if (stream_ == nullptr) return {};
    stream_ = handler;
    if (handler == nullptr) in_ = In::kClosed;
    return {};
  }

  void answer(const Refusal& refusal) override {
    if (stream_ != nullptr && responded_) return;
    // The body says no more than the status, as Envoy's does; the reason is in our error.
    std::string_view body = reason_phrase(refusal.status);
    out_.append(
        fmt::format("HTTP/1.1 {} {}\r\ncontent-length: {}\r\ncontent-type: text/plain\r\n"
                    "connection: close\r\n\r\n{}",
                    refusal.status, body, body.size(), body));
  }

 private:
  // Stands for the handler until on_request() has returned it.
  struct Nobody final : StreamEvents {
    void on_data(std::string_view, bool) override {}
    void on_trailers(Headers&&) override {}
    void on_reset(const Error&) override {}
    void on_complete() override {}
  };

  void write_head(const ResponseHead& head, BodyFraming framing, bool say_empty) {
    if (!say_empty) {
      write_response(out_, head, framing, keep_alive_, http10_, upgrade_, options_);
      return;
    }
    ResponseHead with_length = head.clone();
    with_length.headers.add_borrowed("content-length", "0");
    write_response(out_, with_length, framing, keep_alive_, http10_, upgrade_, options_);
  }

  Nobody nobody_;
  std::string upgrade_;  // what the request asked for
  bool draining_ = false;
  bool connect_ = false;
  bool head_request_ = false;
  bool http10_ = false;
  bool responded_ = false;
};

}  // namespace
}  // namespace h1

std::unique_ptr<ServerCodec> make_h1_server(const CodecOptions& options, ConnectionEvents* events) {
  return std::make_unique<h1::Server>(options, events);
}

}  // namespace mizzen::http
