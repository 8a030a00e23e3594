// What the frames of the peer mean, once they are whole.
#include <algorithm>
#include <cstring>
#include <optional>

#include "http/h2_session.h"
#include "http/websocket.h"

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kSettings = 32;  // in one frame
constexpr std::size_t kPriority = 5;   // bytes

// Stands for a handler until on_request() has returned it.
struct Nobody final : StreamEvents {
  void on_data(std::string_view, bool) override {}
  void on_trailers(Headers&&) override {}
  void on_reset(const Error&) override {}
  void on_complete() override {}
};

bool depends_on_itself(std::string_view priority, std::uint32_t id) {
  return (read_u32(priority.data()) & kMostStreamId) == id;
}

}  // namespace

void Session::on_frame(std::string_view payload) {
  const auto type = static_cast<FrameType>(frame_.type);
  const bool of_connection =
      type == FrameType::kSettings || type == FrameType::kPing || type == FrameType::kGoaway;
  if (type != FrameType::kWindowUpdate && of_connection != (frame_.stream == 0)) {
    return broken(ErrorCode::kProtocol, "a frame on a stream where it has no place");
  }
  switch (type) {
    case FrameType::kHeaders:
      return on_headers(payload);
    case FrameType::kContinuation:
      return on_continuation(payload);
    case FrameType::kReset:
      return on_reset(payload);
    case FrameType::kSettings:
      return on_settings(payload);
    case FrameType::kPing:
      return on_ping(payload);
    case FrameType::kGoaway:
      return on_goaway(payload);
    case FrameType::kWindowUpdate:
      return on_window_update(payload);
    case FrameType::kPriority:
      return on_priority(payload);
    default:
      return broken(ErrorCode::kProtocol, "PUSH_PROMISE");
  }
}

// RFC 9113 5.3.2: read and ignored.
void Session::on_priority(std::string_view payload) {
  count_priority();
  if (payload.size() != kPriority) {
    Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
    if (stream == nullptr) return broken(ErrorCode::kFrameSize, "PRIORITY of another size");
    return stream_error(stream, ErrorCode::kFrameSize);
  }
  if (depends_on_itself(payload, frame_.stream)) {
    broken(ErrorCode::kProtocol, "a stream depends on itself");
  }
}

void Session::on_headers(std::string_view payload) {
  if (!strip_padding(frame_, payload)) {
    return broken(ErrorCode::kProtocol, "HEADERS with more padding than payload");
  }
  if (frame_.has(kHasPriority)) {
    if (payload.size() < kPriority) {
      return broken(ErrorCode::kFrameSize, "HEADERS without their priority");
    }
    if (depends_on_itself(payload, frame_.stream)) {
      return broken(ErrorCode::kProtocol, "a stream depends on itself");
    }
    payload.remove_prefix(kPriority);
  }
  idle_frames_ = 0;
  const HeadReader::What what = open_block(frame_.stream);
  if (!status_) return;
  const Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
  head_reader_.begin(what, stream != nullptr && stream->tunnel);
  reader_.begin();
  block_stream_ = frame_.stream;
  block_ends_stream_ = frame_.has(kEndStream);
  block_bytes_ = 0;
  read_block(payload, frame_.has(kEndHeaders));
}

void Session::on_continuation(std::string_view payload) {
  read_block(payload, frame_.has(kEndHeaders));
}

HeadReader::What Session::open_block(std::uint32_t id) {
  using enum HeadReader::What;
  if (is_server_ ? id % 2 == 0 : is_idle(id)) {
    broken(ErrorCode::kProtocol, "HEADERS on a stream that the peer may not open");
    return kIgnored;
  }
  if (is_server_ && id > last_opened_) {
    last_opened_ = id;
    ++opened_;
    ++streams_seen_;
    if (goaway_sent_) return kIgnored;  // it knows that it will not be served
    if (streams_.size() < options_.limits.concurrent_streams) return kRequest;
    write_reset(id, ErrorCode::kRefusedStream);
    lately_.add(static_cast<StreamId>(id), false);
    return kIgnored;
  }
  Stream* stream = streams_.find(static_cast<StreamId>(id));
  if (stream == nullptr) {
    note_closed_block(id);
    return kIgnored;
  }
  if (stream->input_ended) {
    stream_error(stream, ErrorCode::kStreamClosed);
    return kIgnored;
  }
  return stream->head_read ? kTrailers : kResponse;
}

// A field block on a stream that is not open: an error, unless we broke it off and the block was on
// its way. RFC 9113 5.1.1: a stream that the peer has passed over cannot be opened any more.
void Session::note_closed_block(std::uint32_t id) {
  const ClosedLately::How how = lately_.find(static_cast<StreamId>(id));
  if (how == ClosedLately::How::kByPeer) {
    broken(ErrorCode::kStreamClosed, "HEADERS on a stream that has ended");
  } else if (how == ClosedLately::How::kUnknown && is_server_ && opened_ < (last_opened_ + 1) / 2) {
    broken(ErrorCode::kProtocol, "HEADERS on a stream that was passed over");
  }
}

void Session::read_block(std::string_view bytes, bool last) {
  const Limits& limits = options_.limits;
  block_bytes_ += bytes.size();
  if (block_bytes_ > limits.head_bytes * 4 + 64 * 1024) {
    return broken(ErrorCode::kEnhanceYourCalm, "a head far beyond the limit");
  }
  const bool joined = !block_.empty();
  if (joined) bytes = block_.append(bytes);
  hpack::Field field;
  while (!bytes.empty()) {
    if (!head_reader_.wants_more()) reader_.pass_over();
    const hpack::Reader::Step step = reader_.next(bytes, field);
    if (step == hpack::Reader::Step::kField) {
      head_reader_.take(field);
    } else if (step == hpack::Reader::Step::kBroken ||
               (step == hpack::Reader::Step::kMore && last)) {
      return broken(ErrorCode::kCompression, "a field block is not HPACK");
    } else if (step == hpack::Reader::Step::kMore) {
      break;
    }
  }
  if (last) {
    if (joined) std::string().swap(block_);
    return end_block();
  }
  if (joined) {
    block_.erase(0, block_.size() - bytes.size());
  } else {
    block_.assign(bytes);
  }
}

void Session::end_block() {
  using enum HeadReader::What;
  head_open_ = false;
  const auto id = static_cast<StreamId>(std::exchange(block_stream_, 0));
  const HeadReader::Fault fault = head_reader_.finish();
  const HeadReader::What what = head_reader_.what();
  Stream* stream = streams_.find(id);
  if (what == kIgnored || (what != kRequest && stream == nullptr)) return;
  if (what == kRequest) return end_request(id, fault, block_ends_stream_);
  if (fault != HeadReader::Fault::kNone) {
    return stream_error(stream, fault == HeadReader::Fault::kTooLarge ? ErrorCode::kInternal
                                                                      : ErrorCode::kProtocol);
  }
  if (what == kResponse) {
    end_response(stream, block_ends_stream_);
  } else {
    end_trailers(stream, block_ends_stream_);
  }
}

void Session::end_request(StreamId id, HeadReader::Fault fault, bool end) {
  ++heads_;
  RequestHead& head = head_reader_.request;
  if (head.content_length && (head.is_connect() || head_reader_.extended)) {
    head.headers.remove("content-length");  // a tunnel's bytes are no content (RFC 9110 9.3.6)
    head.content_length.reset();
  }
  const bool promised = head.content_length.value_or(0) > 0;
  if (fault == HeadReader::Fault::kNone && end && promised) fault = HeadReader::Fault::kMalformed;
  if (fault != HeadReader::Fault::kNone) {
    write_reset(static_cast<std::uint32_t>(id), fault == HeadReader::Fault::kTooLarge
                                                    ? ErrorCode::kInternal
                                                    : ErrorCode::kProtocol);
    head.headers.release();
    count_in_vain();
    return lately_.add(id, end);
  }
  auto made = std::make_unique<Stream>();
  made->id = id;
  made->send_window = peer_window_;
  made->receive_window = static_cast<std::int64_t>(options_.limits.stream_window);
  if (!settings_known_) made->receive_window = std::max(made->receive_window, kWindow);
  made->head_read = true;
  made->extended = head_reader_.extended;
  made->input_ended = end;
  if (head.content_length) {
    made->length = static_cast<std::int64_t>(*head.content_length);
  }
  // The handler may answer, and even reset, before it has been returned.
  static Nobody nobody;
  made->events = &nobody;
  Stream* stream = streams_.add(std::move(made));
  last_processed_ = static_cast<std::uint32_t>(id);
  if (head.scheme.empty()) head.scheme = options_.scheme;
  StreamEvents* handler = events_->on_request(id, std::move(head), end);
  if (stream->events == nullptr) return;  // reset meanwhile
  stream->events = handler;
  if (handler == nullptr && !stream->closed) {
    write_reset(static_cast<std::uint32_t>(id), ErrorCode::kRefusedStream);
    close(stream, ErrorCode::kRefusedStream);
  }
}

void Session::end_response(Stream* stream, bool end) {
  ResponseHead head = std::move(head_reader_.response);
  if (head.is_informational()) {
    if (end) return stream_error(stream, ErrorCode::kProtocol);
    if (stream->events != nullptr) stream->events->on_informational(std::move(head));
    return;
  }
  stream->head_read = true;
  const bool bodiless = stream->bodiless || head.status == 204 || head.status == 304;
  if (bodiless) {
    stream->length = 0;
  } else if (head.content_length && !(stream->tunnel && head.status < 300)) {
    stream->length = static_cast<std::int64_t>(*head.content_length);
  }
  if (end && stream->length > 0) return stream_error(stream, ErrorCode::kProtocol);
  stream->input_ended = end;
  if (stream->extended && head.status == 200) {
    head.status = 101;
    if (!stream->websocket_key.empty()) {
      head.headers.add("sec-websocket-accept", websocket::accept_key(stream->websocket_key));
    }
  }
  if (stream->events != nullptr) stream->events->on_response(std::move(head), end);
  close_if_done(stream);
}

// RFC 9113 8.1: trailers end the stream.
void Session::end_trailers(Stream* stream, bool end) {
  Headers trailers = std::move(head_reader_.trailers);
  if (!end || (stream->length >= 0 && stream->received != stream->length)) {
    return stream_error(stream, ErrorCode::kProtocol);
  }
  stream->input_ended = true;
  trailers.remove_if([](const HeaderField& field) { return is_forbidden_trailer(field.name); });
  if (stream->events != nullptr) stream->events->on_trailers(std::move(trailers));
  close_if_done(stream);
}

void Session::on_reset(std::string_view payload) {
  if (payload.size() != 4) return broken(ErrorCode::kFrameSize, "RST_STREAM of another size");
  if (is_idle(frame_.stream)) return broken(ErrorCode::kProtocol, "RST_STREAM on an idle stream");
  Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
  if (stream == nullptr) return count_idle();
  count_early_reset(*stream);
  close(stream, static_cast<ErrorCode>(read_u32(payload.data())), true);
}

void Session::on_settings(std::string_view payload) {
  if (frame_.has(kAck)) {
    if (!payload.empty()) return broken(ErrorCode::kFrameSize, "SETTINGS with ACK and content");
    if (!settings_known_) on_settings_known();
    return count_idle();
  }
  if (payload.size() % kSettingSize != 0) {
    return broken(ErrorCode::kFrameSize, "SETTINGS of another size");
  }
  if (payload.size() / kSettingSize > kSettings) {
    return broken(ErrorCode::kEnhanceYourCalm, "too many settings in one frame");
  }
  count_settings();
  std::optional<std::uint32_t> window;  // the last one counts: all streams move but once
  for (; !payload.empty() && status_; payload.remove_prefix(kSettingSize)) {
    const auto name = static_cast<Setting>(read_u16(payload.data()));
    const std::uint32_t value = read_u32(payload.data() + 2);
    if (name == Setting::kInitialWindow && value <= kMostWindow) {
      window = value;
    } else {
      on_setting(name, value);
    }
  }
  if (window && !resize_windows(*window)) {
    broken(ErrorCode::kFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is too large");
  }
  if (!status_) return;
  put_frame(out_, FrameType::kSettings, kAck, 0, {});
  note_answer();
  events_->on_settings();
  count_idle();
}

void Session::on_setting(Setting name, std::uint32_t value) {
  switch (name) {
    case Setting::kHeaderTableSize:
      writer_.set_table(value);
      break;
    case Setting::kEnablePush:
      // RFC 9113 6.5.2: a server may only say no.
      if (value > (is_server_ ? 1U : 0U)) broken(ErrorCode::kProtocol, "SETTINGS_ENABLE_PUSH");
      break;
    case Setting::kConcurrentStreams:
      peer_streams_ = value;
      break;
    case Setting::kInitialWindow:
      broken(ErrorCode::kFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is too large");
      break;
    case Setting::kMaxFrameSize:
      if (value < kFrameSize || value > kMostFrameSize) {
        broken(ErrorCode::kProtocol, "SETTINGS_MAX_FRAME_SIZE");
      }
      break;
    case Setting::kConnectProtocol:
      // RFC 8441 3: what was said is not taken back.
      if (value > 1 || (value == 0 && peer_connect_protocol_)) {
        broken(ErrorCode::kProtocol, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
      }
      peer_connect_protocol_ = value == 1;
      break;
    default:
      break;
  }
}

// All streams' windows move with the initial one (RFC 9113 6.9.2), below zero too.
bool Session::resize_windows(std::uint32_t window) {
  const std::int64_t more = std::int64_t{window} - std::exchange(peer_window_, window);
  bool fits = true;
  streams_.each([&](Stream& stream) {
    stream.send_window += more;
    fits = fits && stream.send_window <= kMostWindow;
    if (!stream.pending.empty()) schedule(&stream);
  });
  return fits;
}

// Until then the peer may have counted with what RFC 9113 says of those who say nothing.
void Session::on_settings_known() {
  settings_known_ = true;
  reader_.set_table(options_.limits.hpack_table);
  const auto window = static_cast<std::int64_t>(options_.limits.stream_window);
  if (window >= kWindow) return;
  streams_.each([window](Stream& stream) { stream.receive_window -= kWindow - window; });
}

void Session::note_answer() {
  frames_.add();
  answers_.add();
  if (answers_.count(drained_, written()) > options_.limits.control_frames) {
    flooded("outbound_control_flood");
  }
}

void Session::on_ping(std::string_view payload) {
  if (payload.size() != 8) return broken(ErrorCode::kFrameSize, "PING of another size");
  if (!frame_.has(kAck)) {
    put_frame(out_, FrameType::kPing, kAck, 0, payload);
    note_answer();
    return count_idle();
  }
  if (notice_sent_ && is_drain_ping(payload)) {
    notice_sent_ = false;
    return write_goaway(last_processed_, ErrorCode::kNoError);
  }
  std::uint64_t number;
  std::memcpy(&number, payload.data(), sizeof number);
  events_->on_pong(number);
}

void Session::on_goaway(std::string_view payload) {
  if (payload.size() < 8) return broken(ErrorCode::kFrameSize, "GOAWAY of another size");
  const std::uint32_t last = read_u32(payload.data()) & kMostStreamId;
  if (last > last_told_) return broken(ErrorCode::kProtocol, "GOAWAY takes back what it said");
  last_told_ = last;
  if (!std::exchange(goaway_received_, true)) events_->on_goaway();
  if (is_server_) return;
  std::vector<Stream*> refused;
  streams_.each([&](Stream& stream) {
    if (static_cast<std::uint32_t>(stream.id) > last) refused.push_back(&stream);
  });
  std::ranges::sort(refused, {}, &Stream::id);
  for (Stream* stream : refused) close(stream, ErrorCode::kRefusedStream);
}

void Session::on_window_update(std::string_view payload) {
  if (payload.size() != 4) return broken(ErrorCode::kFrameSize, "WINDOW_UPDATE of another size");
  count_window_update();
  const std::int64_t more = read_u32(payload.data()) & kMostStreamId;
  if (frame_.stream == 0) {
    if (more == 0) return broken(ErrorCode::kProtocol, "WINDOW_UPDATE by nothing");
    send_window_ += more;
    if (send_window_ > kMostWindow) broken(ErrorCode::kFlowControl, "the window is too large");
    return;
  }
  if (is_idle(frame_.stream)) {
    return broken(ErrorCode::kProtocol, "WINDOW_UPDATE on an idle stream");
  }
  Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
  if (stream == nullptr) return;
  if (more == 0) return stream_error(stream, ErrorCode::kProtocol);
  stream->send_window += more;
  if (stream->send_window > kMostWindow) return stream_error(stream, ErrorCode::kFlowControl);
  if (!stream->pending.empty()) schedule(stream);
}

}  // namespace mizzen::http::h2
