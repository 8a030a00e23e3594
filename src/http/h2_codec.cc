#include "http/codec.h"
#include "http/h2_session.h"

namespace mizzen::http {

namespace {

// The session behind the interface of both kinds of codec.
template <class Interface>
class Bound : public Interface {
 public:
  Bound(const CodecOptions& options, ConnectionEvents* events, bool is_server)
      : session_(options, events, is_server) {}

  Status feed(std::string_view bytes) override { return session_.feed(bytes); }
  bool wants_input() const override { return session_.wants_input(); }
  bool wants_turn() const override { return session_.wants_turn(); }
  bool is_suspect() const override { return session_.is_suspect(); }
  // HTTP/2 has no half of a connection.
  void end_of_input() override { session_.connection_lost(); }
  void connection_lost() override { session_.connection_lost(); }
  std::size_t output(std::span<iovec> to) override { return session_.output(to); }
  void drained(std::size_t bytes) override { session_.drained(bytes); }
  void send_data(StreamId id, std::string_view bytes, bool end) override {
    session_.send_data(id, bytes, end);
  }
  void send_trailers(StreamId id, const Headers& trailers) override {
    session_.send_trailers(id, trailers);
  }
  void reset(StreamId id, ResetCode code) override { session_.reset(id, code); }
  void consumed(StreamId id, std::size_t bytes) override { session_.consumed(id, bytes); }
  std::size_t buffered(StreamId id) const override { return session_.buffered(id); }
  void drain() override { session_.drain(); }
  bool finished() const override { return session_.finished(); }
  std::size_t open_streams() const override { return session_.open_streams(); }
  Protocol protocol() const override { return Protocol::kHttp2; }
  void ping(std::uint64_t payload) override { session_.ping(payload); }
  std::string_view violation() const override { return session_.violation(); }

 protected:
  h2::Session session_;
};

class Server final : public Bound<ServerCodec> {
 public:
  Server(const CodecOptions& options, ConnectionEvents* events) : Bound(options, events, true) {}
  void respond(StreamId id, const ResponseHead& head, bool end) override {
    session_.respond(id, head, end);
  }
  void inform(StreamId id, const ResponseHead& head) override { session_.inform(id, head); }
  bool head_pending() const override { return session_.head_pending(); }
  void refuse(int /*status*/) override { session_.refuse(); }
};

class Client final : public Bound<ClientCodec> {
 public:
  Client(const CodecOptions& options, ConnectionEvents* events) : Bound(options, events, false) {}
  bool can_submit() const override { return session_.can_submit(); }
  StreamId submit(const RequestHead& head, bool end, StreamEvents* events) override {
    return session_.submit(head, end, events);
  }
  void rebind(StreamId id, StreamEvents* events) override { session_.rebind(id, events); }
};

}  // namespace

std::unique_ptr<ServerCodec> make_h2_server(const CodecOptions& options, ConnectionEvents* events) {
  return std::make_unique<Server>(options, events);
}

std::unique_ptr<ClientCodec> make_h2_client(const CodecOptions& options, ConnectionEvents* events) {
  return std::make_unique<Client>(options, events);
}

}  // namespace mizzen::http
