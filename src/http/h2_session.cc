#include "http/h2_session.h"

#include <algorithm>
#include <utility>

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kMostUnsent = 1 << 20;     // bytes that wait for a peer that does not read
constexpr std::size_t kLongestText = 64 * 1024;  // of a name or value, as it stands on the wire

}  // namespace

Session::Session(const CodecOptions& options, ConnectionEvents* events, bool is_server)
    : options_(options),
      events_(events),
      reader_(options.limits.hpack_table, std::max(kLongestText, options.limits.head_bytes)),
      head_reader_(options_.limits),
      is_server_(is_server) {
  const Limits& limits = options_.limits;
  if (is_server) {
    input_ = Input::kPreface;
    left_ = kHttp2Preface.size();
  } else {
    out_.append(kHttp2Preface);
  }
  std::array<char, 5 * kSettingSize> settings;
  char* at = write_setting(settings.data(), Setting::kHeaderTableSize, limits.hpack_table);
  at = write_setting(at, Setting::kInitialWindow, static_cast<std::uint32_t>(limits.stream_window));
  at = write_setting(at, Setting::kConcurrentStreams, limits.concurrent_streams);
  at = write_setting(at, Setting::kHeaderListSize, static_cast<std::uint32_t>(limits.head_bytes));
  if (is_server) {
    write_setting(at, Setting::kConnectProtocol, 1);
  } else {
    write_setting(at, Setting::kEnablePush, 0);
  }
  put_frame(out_, FrameType::kSettings, 0, 0, {settings.data(), settings.size()});
  // A window can only be opened by a frame; a smaller one is made by not giving bytes back.
  const auto window = static_cast<std::int64_t>(limits.connection_window);
  if (window > kWindow) {
    put_window_update(out_, 0, static_cast<std::uint32_t>(window - kWindow));
    receive_window_ = window;
  } else {
    returned_ = window - kWindow;
  }
}

Status Session::feed(std::string_view bytes) {
  work_noted_ = false;
  if (!status_) return status_;
  in_events_ = true;
  if (later_.empty()) {
    later_ = receive(bytes);
  } else {
    receive_later(bytes);
  }
  raise();
  if (!status_) break_all(status_.error());
  in_events_ = false;
  return status_;
}

// What a turn left, before what has come since.
void Session::receive_later(std::string_view bytes) {
  later_.append(bytes);
  const std::string_view left = receive(std::string_view(later_).substr(later_at_));
  later_at_ = later_.size() - left.size();
  if (!left.empty()) return;
  std::string().swap(later_);
  later_at_ = 0;
}

bool Session::wants_input() const {
  if (!status_ || ended_ || !later_.empty()) return false;
  return streams_.size() > 0 || !(goaway_sent_ || goaway_received_);
}

void Session::connection_lost() {
  work_noted_ = false;
  ended_ = true;
  in_events_ = true;
  raise();
  break_all({Code::kClosed, Side::kInternal, false, "the connection was closed"});
  in_events_ = false;
}

// The stream's handler hears of it at the end of this turn, or when its output was drained.
void Session::close(Stream* stream, ErrorCode code, bool by_peer) {
  lately_.add(stream->id, by_peer || stream->input_ended);
  std::unique_ptr<Stream> taken = streams_.take(stream);
  ready_.remove(stream);
  stream->closed = true;
  stream->code = code;
  if (code != ErrorCode::kNoError || !stream->output_ended) stream->written_to = 0;
  stream->pending.clear();
  return_window(std::exchange(stream->held, 0));
  // What is at work with it meanwhile may look at it once more.
  if (in_events_ || stream->events != nullptr) closed_.push_back(std::move(taken));
}

void Session::close_if_done(Stream* stream) {
  if (stream->input_ended && stream->output_ended && !stream->closed) {
    close(stream, ErrorCode::kNoError);
  }
}

// A closed stream that raise() will tell of.
Stream* Session::closed(StreamId id) const {
  for (const auto& stream : closed_) {
    if (stream != nullptr && stream->id == id) return stream.get();
  }
  return nullptr;
}

void Session::stream_error(Stream* stream, ErrorCode code) {
  write_reset(static_cast<std::uint32_t>(stream->id), code);
  // Who makes us break streams off takes back what it asked for, too.
  count_early_reset(*stream);
  close(stream, code);
}

// Ends the connection; what is open breaks at the end of feed().
void Session::broken(ErrorCode code, std::string_view why) {
  if (!status_) return;
  status_ = fail(code == ErrorCode::kEnhanceYourCalm ? Code::kLimit : Code::kProtocol,
                 std::string("HTTP/2: ").append(why));
  write_goaway(last_processed_, code);
}

void Session::flooded(std::string_view violation) {
  if (!status_) return;
  violation_ = violation;
  broken(ErrorCode::kEnhanceYourCalm, violation);
}

// Everybody hears of the end, those too whose last bytes are still to be written.
void Session::break_all(const Error& error) {
  std::vector<Stream*> open;
  streams_.each([&open](Stream& stream) { open.push_back(&stream); });
  std::ranges::sort(open, {}, &Stream::id);
  for (Stream* stream : open) close(stream, ErrorCode::kCancel);
  // Handlers may reset their neighbours meanwhile.
  for (std::size_t i = 0; i < closed_.size(); ++i) {
    if (StreamEvents* events = std::exchange(closed_[i]->events, nullptr)) events->on_reset(error);
  }
  closed_.clear();
  ended_ = true;
}

// Tells handlers what happened while frames were read and written.
void Session::raise() {
  for (std::size_t i = 0; i < writable_.size(); ++i) {
    Stream* stream = streams_.find(writable_[i]);
    if (stream != nullptr && stream->events != nullptr) stream->events->on_writable();
  }
  writable_.clear();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < closed_.size(); ++i) {
    if (closed_[i]->events != nullptr && closed_[i]->written_to > drained_) {
      if (kept != i) closed_[kept] = std::move(closed_[i]);
      ++kept;
      continue;
    }
    const std::unique_ptr<Stream> stream = std::move(closed_[i]);
    if (stream->events != nullptr) tell(*stream);
  }
  closed_.resize(kept);
}

void Session::tell(Stream& stream) {
  if (stream.code == ErrorCode::kNoError && stream.input_ended) return stream.events->on_complete();
  const bool refused = stream.code == ErrorCode::kRefusedStream;
  stream.events->on_reset({refused                               ? Code::kUnavailable
                           : stream.code == ErrorCode::kProtocol ? Code::kProtocol
                                                                 : Code::kReset,
                           Side::kInternal, refused,
                           std::string("stream reset: ").append(to_string(stream.code))});
}

std::size_t Session::output(std::span<iovec> to) {
  fill();
  return out_.show(to);
}

void Session::drained(std::size_t bytes) {
  work_noted_ = false;
  bytes = std::min(bytes, out_.size());
  out_.drop(bytes);
  drained_ += bytes;
  in_events_ = true;
  raise();
  in_events_ = false;
}

void Session::note_work() {
  if (in_events_ || work_noted_) return;
  work_noted_ = true;
  events_->on_work();
}

void Session::reset(StreamId id, ResetCode code) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr) {
    if (Stream* told = closed(id)) told->events = nullptr;
    return;
  }
  stream->events = nullptr;
  write_reset(static_cast<std::uint32_t>(id), static_cast<ErrorCode>(code));
  close(stream, static_cast<ErrorCode>(code));
  note_work();
}

void Session::consumed(StreamId id, std::size_t bytes) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr) return;
  bytes = std::min(bytes, stream->held);
  stream->held -= bytes;
  stream->returned += bytes;
  const std::size_t before = out_.size();
  if (!stream->input_ended && stream->returned > 0 &&
      stream->returned >= options_.limits.stream_window / 2) {
    put_window_update(out_, static_cast<std::uint32_t>(id),
                      static_cast<std::uint32_t>(stream->returned));
    frames_.add();
    stream->receive_window += static_cast<std::int64_t>(std::exchange(stream->returned, 0));
  }
  return_window(bytes);
  if (out_.size() != before) note_work();
}

std::size_t Session::buffered(StreamId id) const {
  const Stream* stream = streams_.find(id);
  return stream == nullptr ? 0 : stream->pending.size();
}

bool Session::finished() const {
  if (!status_ || ended_) return true;
  return streams_.size() == 0 && closed_.empty() &&
         (goaway_received_ || goaway_sent_ || next_id_ == 0);
}

void Session::refuse() {
  if (!status_) return;
  status_ = fail(Code::kTimeout, "HTTP/2: the head did not come in time");
  write_goaway(last_processed_, ErrorCode::kEnhanceYourCalm);
  note_work();
}

void Session::rebind(StreamId id, StreamEvents* events) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr) stream = closed(id);
  if (stream != nullptr && stream->events != nullptr) stream->events = events;
}

bool Session::can_submit() const {
  return status_ && !ended_ && !goaway_received_ && !draining_ && streams_.size() < max_streams() &&
         next_id_ > 0 && out_.size() < kMostUnsent;
}

std::size_t Session::max_streams() const {
  // Until the peer's SETTINGS come, RFC 9113 5.1.2 names no limit; 100 is what it asks of servers.
  return peer_streams_ == 0xffffffff ? 100 : peer_streams_;
}

}  // namespace mizzen::http::h2
