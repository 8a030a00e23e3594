// HTTP/2 (RFC 9113) over libnghttp2: what servers and clients share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/codec.h"
#include "http/output.h"

struct nghttp2_session;

namespace mizzen::http::h2 {

// One exchange. Its place in Session::streams_ is `index`.
struct Stream {
  StreamId id = 0;
  std::size_t index = 0;
  StreamEvents* events = nullptr;  // null: nobody listens any more
  RequestHead request;             // server: while it is read
  ResponseHead response;           // client: while it is read
  Headers trailers;                // received
  std::size_t head_bytes = 0;
  std::size_t head_fields = 0;
  std::string protocol;       // server: :protocol of the request
  std::string websocket_key;  // client: of an upgrade
  Output pending;             // body to send
  Headers pending_trailers;
  std::size_t held = 0;  // received and not consumed() yet
  bool pending_end = false;
  bool deferred = false;
  bool above_mark = false;
  bool head_read = false;  // the request or the final response was delivered
  bool answered = false;   // server: a response was submitted
  bool tunnel = false;     // client: upgrade or CONNECT
  bool input_ended = false;
  bool too_large = false;
};

// `Server` or client by `is_server`. Both interfaces are served by Codec<Interface> below.
class Session {
 public:
  Session(const CodecOptions& options, ConnectionEvents* events, bool is_server);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  Status feed(std::string_view bytes);
  bool wants_input() const;
  void end_of_input();
  std::size_t output(std::span<iovec> to);
  void drained(std::size_t bytes);
  void send_data(StreamId id, std::string_view bytes, bool end);
  void send_trailers(StreamId id, const Headers& trailers);
  void reset(StreamId id, ResetCode code);
  void consumed(StreamId id, std::size_t bytes);
  std::size_t buffered(StreamId id) const;
  void drain();
  bool finished() const;
  std::size_t open_streams() const { return streams_.size(); }
  void ping(std::uint64_t payload);
  std::string_view violation() const { return violation_; }
  bool head_pending() const { return head_open_; }
  void refuse();

  void respond(StreamId id, const ResponseHead& head, bool end);
  void inform(StreamId id, const ResponseHead& head);
  StreamId submit(const RequestHead& head, bool end, StreamEvents* events);
  void rebind(StreamId id, StreamEvents* events);
  bool can_submit() const;
  std::size_t max_streams() const;

 private:
  friend struct Callbacks;  // nghttp2's, in h2_callbacks.cc
  struct Closed {
    std::unique_ptr<Stream> stream;
    std::uint32_t code;
  };

  Stream* find(StreamId id) const;
  Stream* add_stream();
  void remove_stream(Stream* stream, std::uint32_t code);
  void deliver_request(Stream* stream, bool end);
  void deliver_response(Stream* stream, bool end);
  void deliver_trailers(Stream* stream);
  void refuse_stream(Stream* stream, std::uint32_t code);
  void fill();
  void raise();
  void break_all(const Error& error);
  void note_work();
  void terminate(std::uint32_t code, std::string_view violation);
  void note_head(StreamId id);
  void count_idle_frame();
  void count_priority_frame();
  void count_window_update();

  CodecOptions options_;
  ConnectionEvents* events_;
  nghttp2_session* session_ = nullptr;
  Output out_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Closed> closed_;      // to be told in raise()
  std::vector<StreamId> writable_;  // to be told in raise()
  StreamId last_opened_ = 0;        // server: the highest whose head has come
  std::uint32_t opened_ = 0;        // server: how many heads opened one
  Status status_;
  std::uint64_t streams_seen_ = 0;
  std::uint64_t early_resets_ = 0;
  std::uint64_t priority_frames_ = 0;
  std::uint64_t window_updates_ = 0;
  std::uint64_t data_frames_ = 0;   // sent
  std::string_view violation_;      // a literal
  std::uint32_t idle_frames_ = 0;   // frames in a row that moved no request on
  std::uint32_t empty_frames_ = 0;  // of those, the ones without any content
  bool is_server_;
  bool in_events_ = false;
  bool work_noted_ = false;
  bool goaway_received_ = false;
  bool draining_ = false;
  bool notice_sent_ = false;
  bool head_open_ = false;  // a field block has begun and not ended
  bool ended_ = false;      // no input will come, or none is wanted
};

}  // namespace mizzen::http::h2
