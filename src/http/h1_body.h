// Reading the body of an HTTP/1 message (RFC 9112 6-7).
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "http/h1_head.h"

namespace mizzen::http::h1 {

class BodyReader {
 public:
  enum class What : std::uint8_t { kNeedMore, kData, kTrailers, kEnd };
  struct Step {
    What what = What::kNeedMore;
    std::size_t used = 0;   // bytes of the input done with
    std::string_view data;  // kData
    bool end = false;       // kData: the last piece
  };

  void start(BodyFraming framing, std::uint64_t length);
  bool until_close() const {
    return framing_ == BodyFraming::kUntilClose || framing_ == BodyFraming::kOpaque;
  }
  // One step over `input`, which begins where the last step left off. kNeedMore leaves the rest to
  // come again, with more behind it.
  std::expected<Step, Refusal> next(std::string_view input, const Limits& limits);
  // After kTrailers: what they were.
  Headers& trailers() { return trailers_; }

 private:
  enum class Chunk : std::uint8_t { kSize, kData, kDataEnd, kTrailers };
  std::expected<Step, Refusal> chunked(std::string_view input, const Limits& limits);
  std::expected<Step, Refusal> chunk_size(std::string_view input, const Limits& limits);
  std::expected<Step, Refusal> trailer_section(std::string_view input, const Limits& limits);
  Step data(std::string_view input);

  BodyFraming framing_ = BodyFraming::kNone;
  Chunk chunk_ = Chunk::kSize;
  std::uint64_t left_ = 0;   // of the body, or of the chunk
  std::size_t scanned_ = 0;  // of an unfinished line
  Headers trailers_;
};

}  // namespace mizzen::http::h1
