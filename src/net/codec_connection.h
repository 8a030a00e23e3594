// Internal to net: one socket and one codec, bound together. Reads feed the codec, its output is
// written when the socket takes it, and back-pressure goes both ways. Server and client connections
// derive.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/codec.h"
#include "io/loop.h"
#include "io/stream.h"

namespace mizzen::net {

class CodecConnection : protected io::StreamHandler {
 public:
  virtual ~CodecConnection();
  CodecConnection(const CodecConnection&) = delete;
  CodecConnection& operator=(const CodecConnection&) = delete;

  // Something was given to the codec from outside of an event: pump at the end of this turn.
  void kick();
  // Writes now what the codec has to say, as far as the socket takes it; nothing inside of an
  // event, which does so by itself.
  void flush();
  // Gives up the connection; on_dead() follows, once.
  void close(const Error& why);
  bool dead() const { return dead_; }
  io::Stream& stream() { return *stream_; }
  const io::Stream& stream() const { return *stream_; }
  io::Loop& loop() const { return loop_; }

 protected:
  CodecConnection(io::Loop& loop, std::unique_ptr<io::Stream> stream);

  // Starts hearing the stream; not in the constructor, since it may call back.
  void start();
  // From now on bytes go to the codec. Owned by the derived class.
  void set_codec(http::Codec* codec) { codec_ = codec; }

  // Bytes before there is a codec. The derived class sets one (they are fed to it then) or waits
  // for more; more than 64 bytes are never asked for.
  virtual void on_first_bytes(std::string_view bytes) = 0;
  // The connection is over: `error.code` kClosed for an orderly end. Must not destroy this object,
  // but have the loop dispose of it. The codec's streams have had their on_reset().
  virtual void on_dead(const Error& error) = 0;
  // Called after each turn's work, e.g. to look at timers.
  virtual void on_pumped() {}
  // Whether to wait, at the end, for the peer to close first: who speaks last does.
  virtual bool lingers() const { return false; }

 private:
  void on_readable() override;
  void on_writable() override { pump(); }
  void on_error(const Error& error) override { close(error); }
  void on_hangup() override { hangup_ = true; }

  void take(std::string_view bytes);
  void pump();
  void write_output();
  void settle();
  void linger();
  void on_linger_timeout();

  io::Loop& loop_;
  std::unique_ptr<io::Stream> stream_;
  http::Codec* codec_ = nullptr;
  std::string first_bytes_;
  io::Timer linger_timer_;
  io::Task kick_;
  bool in_codec_ = false;
  bool paused_ = false;
  bool failing_ = false;  // the codec gave up: write what it still has to say, then close
  bool input_ended_ = false;
  bool lingering_ = false;  // all is said; what the peer still sends is dropped
  bool hangup_ = false;
  bool dead_ = false;
};

}  // namespace mizzen::net
