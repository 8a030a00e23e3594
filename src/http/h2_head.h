// A field block becomes a head (RFC 9113 8.1 to 8.3), and is judged on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/codec.h"
#include "http/hpack.h"
#include "http/message.h"

namespace mizzen::http::h2 {

// Used for one block after another. Texts are copied once, into the head's own arena.
class HeadReader {
 public:
  enum class What : std::uint8_t { kIgnored, kRequest, kResponse, kTrailers };
  enum class Fault : std::uint8_t { kNone, kMalformed, kTooLarge };

  explicit HeadReader(const Limits& limits) : limits_(limits) {}

  // `connect`: the response answers a CONNECT, extended or not.
  void begin(What what, bool connect = false);
  void take(const hpack::Field& field);
  // The block has ended: is what came a head? Then it is to be taken out of these.
  Fault finish();
  What what() const { return what_; }
  bool wants_more() const { return what_ != What::kIgnored && fault_ == Fault::kNone; }

  RequestHead request;
  bool extended = false;  // request.upgrade was :protocol
  ResponseHead response;
  Headers trailers;

 private:
  void take_pseudo(const hpack::Field& field);
  void take_special(const hpack::Field& field);
  void take_host(std::string_view value);
  void take_length(const hpack::Field& field);
  void set_status(std::string_view value);
  void store(const hpack::Field& field);
  std::string_view kept(Headers& to, const hpack::Field& field) const;
  bool is_request() const;
  void refuse() { fault_ = Fault::kMalformed; }
  Headers& target();

  const Limits& limits_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::size_t cookies_ = 0;
  std::uint32_t pseudo_ = 0;  // those that came, as bits by hpack::Kind
  What what_ = What::kIgnored;
  Fault fault_ = Fault::kNone;
  bool connect_ = false;
  bool ordinary_ = false;  // no pseudo-header may follow
  bool host_ = false;
};

}  // namespace mizzen::http::h2
