// A connection of HTTP/2 (RFC 9113, 8441): what servers and clients share.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/codec.h"
#include "http/h2_frames.h"
#include "http/h2_head.h"
#include "http/h2_stream.h"
#include "http/hpack.h"
#include "http/output.h"

namespace mizzen::http::h2 {

// How many of something wait to be written, without a note for each: at least as many as there are,
// at most those and the ones written while the same output was going out.
class Waiting {
 public:
  void add() { ++recent_; }
  // `drained` and `written`: bytes since the beginning.
  std::uint64_t count(std::uint64_t drained, std::uint64_t written) {
    if (drained == written) {
      old_ = recent_ = 0;
    } else if (drained >= mark_) {
      old_ = std::exchange(recent_, 0);
      mark_ = written;
    }
    return old_ + recent_;
  }

 private:
  std::uint64_t old_ = 0;     // written before the mark
  std::uint64_t recent_ = 0;  // and behind it
  std::uint64_t mark_ = 0;
};

// `Server` or client by `is_server`. Both interfaces are served by Bound<Interface> in h2_codec.cc.
class Session {
 public:
  Session(const CodecOptions& options, ConnectionEvents* events, bool is_server);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Status feed(std::string_view bytes);
  bool wants_input() const;
  void connection_lost();
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
  bool is_suspect() const {
    return early_resets_ > options_.limits.early_resets / 10 && early_resets_ * 2 > streams_seen_;
  }
  bool wants_turn() const { return !later_.empty() && status_ && !ended_; }
  void refuse();

  void respond(StreamId id, const ResponseHead& head, bool end);
  void inform(StreamId id, const ResponseHead& head);
  StreamId submit(const RequestHead& head, bool end, StreamEvents* events);
  void rebind(StreamId id, StreamEvents* events);
  bool can_submit() const;
  std::size_t max_streams() const;

 private:
  enum class Input : std::uint8_t { kPreface, kHead, kPayload, kData, kSkip };

  // h2_session.cc
  Stream* closed(StreamId id) const;
  void close(Stream* stream, ErrorCode code, bool by_peer = false);
  void close_if_done(Stream* stream);
  void stream_error(Stream* stream, ErrorCode code);
  void broken(ErrorCode code, std::string_view why);
  void flooded(std::string_view violation);
  void raise();
  void tell(Stream& stream);
  void break_all(const Error& error);
  void note_work();

  // h2_receive.cc: bytes to frames
  std::string_view receive(std::string_view bytes);
  bool turn_is_over(std::string_view bytes) const;
  void receive_later(std::string_view bytes);
  void read_preface(std::string_view& bytes);
  void read_head(std::string_view& bytes);
  void read_payload(std::string_view& bytes);
  void read_data(std::string_view& bytes);
  void begin_frame();
  bool frame_allowed();
  void begin_data();
  void take_data(std::string_view part, bool last);
  void count_empty();
  void count_idle();
  void count_priority();
  void count_window_update();
  void count_settings();
  void count_early_reset(const Stream& stream);
  void count_in_vain();
  bool is_idle(std::uint32_t id) const;

  // h2_frames_in.cc: what frames mean
  void on_frame(std::string_view payload);
  void on_headers(std::string_view payload);
  void on_continuation(std::string_view payload);
  void on_priority(std::string_view payload);
  void on_reset(std::string_view payload);
  void on_settings(std::string_view payload);
  void on_setting(Setting name, std::uint32_t value);
  void on_settings_known();
  bool resize_windows(std::uint32_t window);
  void note_answer();
  void on_ping(std::string_view payload);
  void on_goaway(std::string_view payload);
  void on_window_update(std::string_view payload);
  HeadReader::What open_block(std::uint32_t id);
  void note_closed_block(std::uint32_t id);
  void read_block(std::string_view bytes, bool last);
  void end_block();
  void end_request(StreamId id, HeadReader::Fault fault, bool end);
  void end_response(Stream* stream, bool end);
  void end_trailers(Stream* stream, bool end);

  // h2_send.cc
  void fill();
  bool fill_one(Stream* stream);
  std::int64_t allowance(const Stream& stream) const;
  void data_written(Stream* stream, std::size_t size);
  void schedule(Stream* stream);
  void end_output(Stream* stream);
  void return_window(std::size_t bytes);
  void write_reset(std::uint32_t id, ErrorCode code);
  void write_goaway(std::uint32_t last, ErrorCode code);
  static bool is_drain_ping(std::string_view payload);
  void write_trailers(Stream* stream, const Headers& trailers);
  template <class Emit>
  void write_head(StreamId id, std::size_t most, bool end, Emit emit);
  void write_block(StreamId id, std::string_view block, bool end);
  std::uint64_t written() const { return drained_ + out_.size(); }

  CodecOptions options_;
  ConnectionEvents* events_;
  hpack::Reader reader_;
  hpack::Writer writer_;
  HeadReader head_reader_;
  Output out_;
  StreamTable streams_;
  StreamQueue ready_;
  std::vector<std::unique_ptr<Stream>> closed_;  // to be told in raise(), then freed
  std::vector<StreamId> writable_;               // to be told in raise()
  ClosedLately lately_;
  Status status_;
  std::string_view violation_;  // a literal

  // Input. `kept_` is a frame's head or payload of which the rest has not come; `block_` the
  // beginning of a field whose rest comes with the next CONTINUATION.
  Input input_ = Input::kHead;
  FrameHead frame_{};
  std::string kept_;
  std::string block_;
  std::string later_;            // input for the next turns,
  std::size_t later_at_ = 0;     // from here
  std::size_t left_ = 0;         // of the preface, or of the frame that is read
  std::size_t padding_ = 0;      // of the DATA frame
  std::size_t block_bytes_ = 0;  // of the field block
  std::uint32_t block_stream_ = 0;
  bool block_ends_stream_ = false;
  bool padding_known_ = true;

  StreamId next_id_ = 1;                     // client; 0: all were used
  StreamId next_refused_ = -1;               // client: for streams that are none
  std::uint32_t last_opened_ = 0;            // server: the highest whose head has come
  std::uint32_t last_processed_ = 0;         // server: the highest that on_request() heard of
  std::uint32_t last_told_ = kMostStreamId;  // client: by the peer's GOAWAY
  std::uint32_t opened_ = 0;                 // server: how many heads opened one
  std::uint32_t peer_streams_ = 0xffffffff;
  std::int64_t peer_window_ = kWindow;
  std::int64_t send_window_ = kWindow;
  std::int64_t receive_window_ = kWindow;
  std::int64_t returned_ = 0;  // to be added to the above once it is worth a frame
  std::uint64_t drained_ = 0;  // bytes

  Waiting frames_;
  Waiting answers_;  // to PING and SETTINGS
  std::uint64_t streams_seen_ = 0;
  std::uint64_t early_resets_ = 0;
  std::uint64_t priority_frames_ = 0;
  std::uint64_t window_updates_ = 0;
  std::uint64_t settings_frames_ = 0;
  std::uint64_t data_frames_ = 0;   // sent
  std::uint32_t idle_frames_ = 0;   // frames in a row that moved no request on
  std::uint32_t heads_ = 0;         // of requests, in this turn
  std::uint32_t empty_frames_ = 0;  // of those, the ones without any content
  bool is_server_;
  bool in_events_ = false;
  bool work_noted_ = false;
  bool settings_came_ = false;
  bool settings_known_ = false;  // the peer has acknowledged ours
  bool peer_connect_protocol_ = false;
  bool goaway_received_ = false;
  bool goaway_sent_ = false;  // one that says which stream was the last
  bool draining_ = false;
  bool notice_sent_ = false;
  bool head_open_ = false;  // a field block has begun and not ended
  bool ended_ = false;      // no input will come, or none is wanted
};

}  // namespace mizzen::http::h2
