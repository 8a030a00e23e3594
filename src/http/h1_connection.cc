#include "http/h1_connection.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace mizzen::http::h1 {

template <class Interface>
Status Connection<Interface>::feed(std::string_view bytes) {
  work_noted_ = false;
  if (!status_) return status_;
  in_events_ = true;
  if (kept_.empty()) {
    const std::size_t used = run(bytes);
    if (used < bytes.size()) kept_.assign(bytes.substr(used));
  } else {
    kept_.append(bytes);
    run_kept();
  }
  settle();
  in_events_ = false;
  return status_;
}

template <class Interface>
void Connection<Interface>::run_kept() {
  const std::size_t used = run(kept_);
  if (used == kept_.size()) {
    std::string().swap(kept_);  // idle connections own no buffers
  } else {
    kept_.erase(0, used);
  }
}

// Ends the exchange when both directions are done, goes on with what was kept, then with the end.
template <class Interface>
void Connection<Interface>::settle() {
  while (true) {
    if (stream_ != nullptr && in_ == In::kWaiting && output_done_ && out_.empty()) {
      StreamEvents* done = std::exchange(stream_, nullptr);
      in_ = keep_alive_ ? In::kHead : In::kClosed;
      held_ = 0;
      above_mark_ = false;
      done->on_complete();
    }
    const std::size_t before = kept_.size();
    if (before == 0 || in_ == In::kWaiting || !status_) break;
    run_kept();
    if (kept_.size() == before) break;
  }
  if (input_ended_ && (kept_.empty() || !paused())) handle_end();
}

template <class Interface>
std::size_t Connection<Interface>::run(std::string_view input) {
  std::size_t used = 0;
  while (true) {
    switch (in_) {
      case In::kHead:
        if (!step_head(input, used)) return used;
        break;
      case In::kBody:
        if (paused() || !step_body(input, used)) return used;
        break;
      case In::kWaiting:
        return used;
      case In::kClosed:
        return input.size();
    }
  }
}

template <class Interface>
bool Connection<Interface>::step_head(std::string_view input, std::size_t& used) {
  std::string_view rest = input.substr(used);
  if (rest.empty()) return false;
  if (!expects_head()) {
    fail_with({400, "bytes that nobody asked for"});
    return true;
  }
  // RFC 9112 2.2: an empty line before a request is read over.
  if (scanned_ == 0 && rest.starts_with("\r\n")) {
    used += 2;
    return true;
  }
  if (rest == "\r") return false;
  auto end = find_head_end(rest, scanned_);
  if (!end) {
    fail_with(end.error());
    return true;
  }
  if ((*end ? **end : rest.size()) > options_.limits.head_bytes) {
    fail_with({431, "the head is too large"});
    return true;
  }
  if (!*end) return false;
  scanned_ = 0;
  used += **end;
  if (auto taken = take_head(rest.substr(0, **end)); !taken) fail_with(taken.error());
  return true;
}

template <class Interface>
bool Connection<Interface>::step_body(std::string_view input, std::size_t& used) {
  auto step = body_.next(input.substr(used), options_.limits);
  if (!step) {
    fail_with(step.error());
    return true;
  }
  used += step->used;
  switch (step->what) {
    case BodyReader::What::kNeedMore:
      return false;
    case BodyReader::What::kData:
      held_ += step->data.size();
      if (step->end) end_of_message();
      if (stream_ != nullptr) stream_->on_data(step->data, step->end);
      break;
    case BodyReader::What::kTrailers:
      end_of_message();
      if (stream_ != nullptr) stream_->on_trailers(std::move(body_.trailers()));
      break;
    case BodyReader::What::kEnd:
      end_of_message();
      if (stream_ != nullptr) stream_->on_data({}, true);
      break;
  }
  return true;
}

// A handler's reset() may have closed the connection before.
template <class Interface>
void Connection<Interface>::end_of_message() {
  if (in_ != In::kClosed) in_ = In::kWaiting;
}

template <class Interface>
bool Connection<Interface>::wants_input() const {
  if (!status_ || in_ == In::kClosed || input_ended_) return false;
  if (in_ == In::kWaiting) return kept_.empty();
  return !paused();
}

template <class Interface>
void Connection<Interface>::end_of_input() {
  work_noted_ = false;
  input_ended_ = true;
  in_events_ = true;
  if (kept_.empty() || !paused()) handle_end();
  settle();
  in_events_ = false;
}

template <class Interface>
void Connection<Interface>::handle_end() {
  input_ended_ = false;
  keep_alive_ = false;
  if (stream_ == nullptr) {
    in_ = In::kClosed;
  } else if (in_ == In::kBody && body_.until_close()) {
    end_of_message();
    stream_->on_data({}, true);
    if (stream_ != nullptr && out_framing_ != BodyFraming::kOpaque && !output_done_) {
      break_stream(Code::kClosed, "the connection was closed");
    }
  } else if (!(in_ == In::kWaiting && (output_done_ || out_framing_ == BodyFraming::kOpaque))) {
    break_stream(Code::kClosed, "the connection was closed");
  }
}

template <class Interface>
void Connection<Interface>::connection_lost() {
  work_noted_ = false;
  keep_alive_ = false;
  std::string().swap(kept_);
  in_events_ = true;
  break_stream(Code::kClosed, "the connection was closed");
  in_events_ = false;
}

template <class Interface>
void Connection<Interface>::break_stream(Code code, std::string_view why, bool retry_safe) {
  in_ = In::kClosed;
  StreamEvents* broken = std::exchange(stream_, nullptr);
  if (broken != nullptr) {
    broken->on_reset(Error{code, Side::kInternal, retry_safe, std::string(why)});
  }
}

template <class Interface>
void Connection<Interface>::fail_with(const Refusal& refusal) {
  const Code code = refusal.status == 431 ? Code::kLimit : Code::kProtocol;
  status_ = fail(code, std::string(refusal.why));
  in_ = In::kClosed;
  answer(refusal);
  break_stream(code, refusal.why);
}

template <class Interface>
void Connection<Interface>::drained(std::size_t bytes) {
  work_noted_ = false;
  out_.drop(bytes);
  in_events_ = true;
  if (above_mark_ && out_.size() < options_.limits.send_buffer / 2) {
    above_mark_ = false;
    if (stream_ != nullptr && !output_done_) stream_->on_writable();
  }
  if (out_.empty()) settle();
  in_events_ = false;
}

template <class Interface>
void Connection<Interface>::note_work() {
  if (in_events_ || work_noted_) return;
  work_noted_ = true;
  events_->on_work();
}

template <class Interface>
void Connection<Interface>::start_output(BodyFraming framing, std::uint64_t length) {
  out_framing_ = framing;
  out_left_ = length;
}

template <class Interface>
void Connection<Interface>::end_output() {
  if (out_framing_ == BodyFraming::kLength && out_left_ > 0) keep_alive_ = false;
  output_done_ = true;
}

template <class Interface>
void Connection<Interface>::begin_opaque() {
  keep_alive_ = false;
  out_framing_ = BodyFraming::kOpaque;
  body_.start(BodyFraming::kOpaque, 0);
  in_ = In::kBody;
}

template <class Interface>
void Connection<Interface>::send_data(StreamId id, std::string_view bytes, bool end) {
  if (id != id_ || stream_ == nullptr || output_done_) return;
  switch (out_framing_) {
    case BodyFraming::kNone:
      break;
    case BodyFraming::kLength:
      bytes = bytes.substr(
          0, static_cast<std::size_t>(std::min<std::uint64_t>(out_left_, bytes.size())));
      out_left_ -= bytes.size();
      out_.append(bytes);
      break;
    case BodyFraming::kChunked:
      if (!bytes.empty()) {
        std::array<char, 20> line;
        char* at = std::to_chars(line.data(), line.data() + 18, bytes.size(), 16).ptr;
        *at++ = '\r';
        *at++ = '\n';
        out_.append({line.data(), static_cast<std::size_t>(at - line.data())});
        out_.append(bytes);
        out_.append("\r\n");
      }
      if (end) out_.append("0\r\n\r\n");
      break;
    case BodyFraming::kUntilClose:
    case BodyFraming::kOpaque:
      out_.append(bytes);
      break;
  }
  if (end) end_output();
  if (out_.size() > options_.limits.send_buffer) above_mark_ = true;
  note_work();
}

template <class Interface>
void Connection<Interface>::send_trailers(StreamId id, const Headers& trailers) {
  if (id != id_ || stream_ == nullptr || output_done_) return;
  if (out_framing_ != BodyFraming::kChunked || trailers.empty()) {
    send_data(id, {}, true);
    return;
  }
  out_.append("0\r\n");
  write_fields(out_, trailers, options_);
  out_.append("\r\n");
  end_output();
  note_work();
}

template <class Interface>
void Connection<Interface>::reset(StreamId id, ResetCode /*code*/) {
  if (id != id_ || stream_ == nullptr) return;
  stream_ = nullptr;
  in_ = In::kClosed;
  note_work();
}

template <class Interface>
void Connection<Interface>::consumed(StreamId id, std::size_t bytes) {
  if (id != id_) return;
  const bool was_paused = paused();
  held_ -= std::min(held_, bytes);
  if (was_paused && !paused()) note_work();
}

template <class Interface>
std::size_t Connection<Interface>::buffered(StreamId id) const {
  return id == id_ && stream_ != nullptr ? out_.size() : 0;
}

template <class Interface>
bool Connection<Interface>::output_ended() const {
  return finished() || (output_done_ && out_framing_ == BodyFraming::kOpaque);
}

template <class Interface>
bool Connection<Interface>::output_ends() const {
  return output_ended() || (in_ == In::kWaiting && output_done_ && !keep_alive_);
}

template class Connection<ServerCodec>;
template class Connection<ClientCodec>;

}  // namespace mizzen::http::h1
