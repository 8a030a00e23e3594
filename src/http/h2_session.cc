#include "http/h2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>

#include "base/strings.h"
#include "http/h2_callbacks.h"
#include "http/websocket.h"

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kFill = 64 * 1024;  // output made ahead of the socket
constexpr std::array<std::uint8_t, 8> kDrainPing = {'d', 'r', 'a', 'i', 'n', 0, 0, 0};

using Fields = std::vector<nghttp2_nv>;

// Field lists are built here; nghttp2 copies them at once.
Fields& scratch() {
  thread_local Fields fields;
  fields.clear();
  return fields;
}

void push(Fields& to, std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  const bool secret = name == "authorization";
  to.push_back(
      {bytes(name), bytes(value), name.size(), value.size(),
       static_cast<std::uint8_t>(secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)});
}

// What belongs to one HTTP/1 hop is not written (RFC 9113 8.2.2).
void push_all(Fields& to, const Headers& headers) {
  for (const HeaderField& field : headers) {
    switch (field.name.size()) {
      case 2:
        if (field.name == "te" && field.value != "trailers") continue;
        break;
      case 4:
        if (field.name == "host") continue;
        break;
      case 7:
        if (field.name == "upgrade") continue;
        break;
      case 10:
        if (field.name == "connection" || field.name == "keep-alive") continue;
        break;
      case 14:
        if (field.name == "http2-settings") continue;
        break;
      case 16:
        if (field.name == "proxy-connection") continue;
        break;
      case 17:
        if (field.name == "transfer-encoding") continue;
        break;
      default:
        break;
    }
    push(to, field.name, field.value);
  }
}

void push_status(Fields& to, int status, std::array<char, 4>& digits) {
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), status).ptr;
  push(to, ":status", {digits.data(), static_cast<std::size_t>(end - digits.data())});
}

}  // namespace

Session::Session(const CodecOptions& options, ConnectionEvents* events, bool is_server)
    : options_(options), events_(events), is_server_(is_server) {
  const Limits& limits = options_.limits;
  session_ = new_nghttp2_session(this, is_server, limits);
  std::array<nghttp2_settings_entry, 5> settings = {{
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, limits.hpack_table},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(limits.stream_window)},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrent_streams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.head_bytes)},
      {is_server ? NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL : NGHTTP2_SETTINGS_ENABLE_PUSH,
       is_server ? 1U : 0U},
  }};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits.connection_window));
}

Session::~Session() { nghttp2_session_del(session_); }

Stream* Session::find(StreamId id) const {
  void* found = nghttp2_session_get_stream_user_data(session_, id);
  if (found != nullptr || is_server_) return static_cast<Stream*>(found);
  // nghttp2 knows a request only once its head was written; such are the last of the list.
  for (auto at = streams_.rbegin(); at != streams_.rend(); ++at) {
    if ((*at)->id == id) return at->get();
  }
  return nullptr;
}

Stream* Session::add_stream() {
  auto made = std::make_unique<Stream>();
  made->index = streams_.size();
  streams_.push_back(std::move(made));
  return streams_.back().get();
}

// nghttp2 closed the stream: its handler hears of it at the end of this turn.
void Session::remove_stream(Stream* stream, std::uint32_t code) {
  const std::size_t index = stream->index;
  std::unique_ptr<Stream> taken = std::move(streams_[index]);
  if (index + 1 != streams_.size()) {
    streams_[index] = std::move(streams_.back());
    streams_[index]->index = index;
  }
  streams_.pop_back();
  if (taken->held > 0) nghttp2_session_consume_connection(session_, taken->held);
  if (taken->events != nullptr) closed_.push_back({std::move(taken), code});
}

Status Session::feed(std::string_view bytes) {
  work_noted_ = false;
  if (!status_) return status_;
  in_events_ = true;
  const auto used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (used < 0 && status_) {
    status_ = fail(used == NGHTTP2_ERR_FLOODED ? Code::kLimit : Code::kProtocol,
                   std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(used)));
    if (used == NGHTTP2_ERR_FLOODED) violation_ = "outbound_control_flood";
    nghttp2_session_terminate_session(
        session_, used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  }
  raise();
  if (!status_) break_all(status_.error());
  in_events_ = false;
  return status_;
}

bool Session::wants_input() const {
  return status_ && !ended_ && nghttp2_session_want_read(session_) != 0;
}

void Session::end_of_input() {
  work_noted_ = false;
  ended_ = true;
  in_events_ = true;
  raise();
  break_all({Code::kClosed, Side::kInternal, false, "the connection was closed"});
  in_events_ = false;
}

void Session::break_all(const Error& error) {
  // Handlers may reset their neighbours meanwhile.
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (StreamEvents* events = std::exchange(streams_[i]->events, nullptr)) events->on_reset(error);
  }
  ended_ = true;
}

// Tells handlers what happened while nghttp2 was at work.
void Session::raise() {
  for (std::size_t i = 0; i < writable_.size(); ++i) {
    Stream* stream = find(writable_[i]);
    if (stream != nullptr && stream->events != nullptr) stream->events->on_writable();
  }
  writable_.clear();
  for (std::size_t i = 0; i < closed_.size(); ++i) {
    auto [stream, code] = std::move(closed_[i]);
    StreamEvents* events = stream->events;
    if (events == nullptr) continue;
    if (code == NGHTTP2_NO_ERROR && stream->input_ended) {
      events->on_complete();
      continue;
    }
    const bool refused = code == NGHTTP2_REFUSED_STREAM;
    events->on_reset({refused                          ? Code::kUnavailable
                      : code == NGHTTP2_PROTOCOL_ERROR ? Code::kProtocol
                                                       : Code::kReset,
                      Side::kInternal, refused,
                      std::string("stream reset: ") + nghttp2_http2_strerror(code)});
  }
  closed_.clear();
}

std::size_t Session::output(std::span<iovec> to) {
  fill();
  return out_.show(to);
}

void Session::fill() {
  while (out_.size() < kFill) {
    const std::uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0 && status_) {
      status_ =
          fail(Code::kInternal, std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(size)));
    }
    if (size <= 0) return;  // a DATA frame alone counts too: its callback wrote it
    out_.append({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
  }
}

void Session::drained(std::size_t bytes) {
  work_noted_ = false;
  out_.drop(bytes);
  in_events_ = true;
  raise();
  in_events_ = false;
}

void Session::note_work() {
  if (in_events_ || work_noted_) return;
  work_noted_ = true;
  events_->on_work();
}

void Session::send_data(StreamId id, std::string_view bytes, bool end) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->events == nullptr || stream->pending_end) return;
  stream->pending.append(bytes);
  stream->pending_end = end;
  if (stream->pending.size() > options_.limits.send_buffer) stream->above_mark = true;
  if (stream->deferred && (end || !bytes.empty())) {
    stream->deferred = false;
    nghttp2_session_resume_data(session_, id);
  }
  note_work();
}

void Session::send_trailers(StreamId id, const Headers& trailers) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->pending_end) return;
  if (!trailers.empty()) stream->pending_trailers = trailers.clone();
  send_data(id, {}, true);
}

void Session::reset(StreamId id, ResetCode code) {
  for (Closed& closed : closed_) {
    if (closed.stream && closed.stream->id == id) closed.stream->events = nullptr;
  }
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->events = nullptr;
  stream->pending.clear();
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, static_cast<std::uint32_t>(code));
  note_work();
}

void Session::consumed(StreamId id, std::size_t bytes) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  bytes = std::min(bytes, stream->held);
  stream->held -= bytes;
  nghttp2_session_consume(session_, id, bytes);
  if (nghttp2_session_want_write(session_) != 0) note_work();
}

std::size_t Session::buffered(StreamId id) const {
  const Stream* stream = find(id);
  return stream == nullptr ? 0 : stream->pending.size();
}

// A server first says that it will close, and a round trip later from where on (RFC 9113 6.8).
void Session::drain() {
  if (draining_) return;
  draining_ = true;
  if (is_server_) {
    nghttp2_submit_shutdown_notice(session_);
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing.data());
    notice_sent_ = true;
  } else {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  }
  note_work();
}

bool Session::finished() const {
  if (!status_ || ended_) return true;
  if (streams_.empty() && closed_.empty() && (goaway_received_ || (draining_ && !is_server_))) {
    return true;
  }
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void Session::ping(std::uint64_t payload) {
  const auto bytes = std::bit_cast<std::array<std::uint8_t, 8>>(payload);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, bytes.data());
  note_work();
}

// Ends the connection over a limit; what is open breaks at the end of feed().
void Session::terminate(std::uint32_t code, std::string_view violation) {
  if (!status_) return;
  violation_ = violation;
  status_ = fail(code == NGHTTP2_ENHANCE_YOUR_CALM ? Code::kLimit : Code::kProtocol,
                 std::string("HTTP/2: ").append(violation));
  nghttp2_session_terminate_session(session_, code);
}

void Session::refuse() {
  if (!status_) return;
  status_ = fail(Code::kTimeout, "HTTP/2: the head did not come in time");
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  note_work();
}

void Session::respond(StreamId id, const ResponseHead& head, bool end) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->events == nullptr || stream->answered) return;
  stream->answered = true;
  const bool accepts_upgrade = head.status == 101 && !stream->protocol.empty();
  Fields& fields = scratch();
  std::array<char, 4> digits;
  push_status(fields, accepts_upgrade ? 200 : head.status, digits);
  push_all(fields, head.headers);
  if (accepts_upgrade) {
    std::erase_if(fields, [](const nghttp2_nv& field) {
      return std::string_view(reinterpret_cast<const char*>(field.name), field.namelen) ==
             "sec-websocket-accept";
    });
  }
  nghttp2_data_provider body = body_provider(stream);
  stream->pending_end = end;
  nghttp2_submit_response(session_, id, fields.data(), fields.size(), end ? nullptr : &body);
  note_work();
}

void Session::inform(StreamId id, const ResponseHead& head) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->events == nullptr || stream->answered) return;
  Fields& fields = scratch();
  std::array<char, 4> digits;
  push_status(fields, head.status, digits);
  push_all(fields, head.headers);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, fields.data(), fields.size(),
                         nullptr);
  note_work();
}

StreamId Session::submit(const RequestHead& head, bool end, StreamEvents* events) {
  Stream* stream = add_stream();
  stream->events = events;
  stream->tunnel = head.is_connect() || !head.upgrade.empty();
  Fields& fields = scratch();
  push(fields, ":method", head.upgrade.empty() ? head.method : std::string_view("CONNECT"));
  if (!head.is_connect()) {
    push(fields, ":scheme", head.scheme.empty() ? options_.scheme : head.scheme);
    push(fields, ":path", head.path.empty() ? std::string_view("/") : head.path);
  }
  if (!head.authority.empty()) push(fields, ":authority", head.authority);
  if (!head.upgrade.empty()) {
    push(fields, ":protocol", head.upgrade);
    stream->protocol = head.upgrade;
    stream->websocket_key = head.headers.get_or("sec-websocket-key", "");
  }
  push_all(fields, head.headers);
  if (!head.upgrade.empty()) {
    std::erase_if(fields, [](const nghttp2_nv& field) {
      return std::string_view(reinterpret_cast<const char*>(field.name), field.namelen) ==
             "sec-websocket-key";
    });
  }
  nghttp2_data_provider body = body_provider(stream);
  stream->pending_end = end;
  const auto id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                         end ? nullptr : &body, stream);
  stream->id = id;
  if (id < 0) {  // out of stream ids: told as a refusal, in raise()
    draining_ = true;
    remove_stream(stream, NGHTTP2_REFUSED_STREAM);
  }
  ++streams_seen_;
  note_work();
  return id;
}

void Session::rebind(StreamId id, StreamEvents* events) {
  for (Closed& closed : closed_) {
    if (closed.stream && closed.stream->id == id && closed.stream->events != nullptr) {
      closed.stream->events = events;
    }
  }
  Stream* stream = find(id);
  if (stream != nullptr && stream->events != nullptr) stream->events = events;
}

bool Session::can_submit() const {
  return status_ && !ended_ && !goaway_received_ && !draining_ && streams_.size() < max_streams() &&
         nghttp2_session_get_next_stream_id(session_) < (1U << 31);
}

std::size_t Session::max_streams() const {
  const auto peer =
      nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  // Until the peer's SETTINGS come, RFC 9113 5.1.2 names no limit; 100 is what it asks of servers.
  return peer == std::numeric_limits<std::uint32_t>::max() ? 100 : peer;
}

}  // namespace mizzen::http::h2
