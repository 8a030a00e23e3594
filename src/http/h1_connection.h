// What servers and clients of HTTP/1 share: the two directions of one connection.
#pragma once

#include <string>

#include "http/codec.h"
#include "http/h1_body.h"
#include "http/h1_head.h"
#include "http/output.h"

namespace mizzen::http::h1 {

// One exchange at a time. `Interface` is ServerCodec or ClientCodec.
template <class Interface>
class Connection : public Interface {
 public:
  Connection(const CodecOptions& options, ConnectionEvents* events)
      : options_(options), events_(events) {}

  Status feed(std::string_view bytes) override;
  bool wants_input() const override;
  void end_of_input() override;
  void connection_lost() override;
  std::size_t output(std::span<iovec> to) override { return out_.show(to); }
  void drained(std::size_t bytes) override;
  void send_data(StreamId id, std::string_view bytes, bool end) override;
  void send_trailers(StreamId id, const Headers& trailers) override;
  void reset(StreamId id, ResetCode code) override;
  void consumed(StreamId id, std::size_t bytes) override;
  std::size_t buffered(StreamId id) const override;
  bool finished() const override { return in_ == In::kClosed; }
  bool output_ended() const override;
  bool output_ends() const override;
  std::size_t open_streams() const override { return stream_ == nullptr ? 0 : 1; }
  Protocol protocol() const override { return Protocol::kHttp11; }

 protected:
  // Where the reading side is. kWaiting: the message was read whole and the other direction goes
  // on.
  enum class In : std::uint8_t { kHead, kBody, kWaiting, kClosed };

  // Handles a whole head; sets in_ to what comes next.
  virtual std::expected<void, Refusal> take_head(std::string_view head) = 0;
  // The input broke the protocol: what to write about it.
  virtual void answer(const Refusal& /*refusal*/) {}
  // Whether a head may come now; if not, any byte is an error.
  virtual bool expects_head() const = 0;

  void start_output(BodyFraming framing, std::uint64_t length);
  void end_output();
  void begin_opaque();  // both directions carry another protocol's bytes from here
  void end_of_message();
  void note_work();
  void fail_with(const Refusal& refusal);
  bool keeps() const { return !kept_.empty(); }  // input that was not handled yet

  CodecOptions options_;
  ConnectionEvents* events_;
  Output out_;
  StreamEvents* stream_ = nullptr;
  StreamId id_ = 0;
  BodyReader body_;
  In in_ = In::kHead;
  BodyFraming out_framing_ = BodyFraming::kNone;
  bool output_done_ = false;
  bool keep_alive_ = true;

 private:
  std::size_t run(std::string_view input);
  bool step_head(std::string_view input, std::size_t& used);
  bool step_body(std::string_view input, std::size_t& used);
  void run_kept();
  void settle();
  void handle_end();
  void break_stream(Code code, std::string_view why, bool retry_safe = false);
  bool paused() const { return held_ > options_.limits.stream_window; }

  std::string kept_;         // input not handled yet
  std::size_t scanned_ = 0;  // of kept_, looked at for the end of a head
  std::size_t held_ = 0;     // body bytes not consumed() yet
  std::uint64_t out_left_ = 0;
  Status status_;
  bool in_events_ = false;
  bool work_noted_ = false;
  bool above_mark_ = false;
  bool input_ended_ = false;
};

}  // namespace mizzen::http::h1
