#include "http/h1_body.h"

#include <algorithm>
#include <cstring>

namespace mizzen::http::h1 {

void BodyReader::start(BodyFraming framing, std::uint64_t length) {
  framing_ = framing;
  chunk_ = Chunk::kSize;
  left_ = length;
  scanned_ = 0;
  trailers_.release();
}

BodyReader::Step BodyReader::data(std::string_view input) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
  left_ -= size;
  return {What::kData, size, input.substr(0, size), false};
}

std::expected<BodyReader::Step, Refusal> BodyReader::next(std::string_view input,
                                                          const Limits& limits) {
  switch (framing_) {
    case BodyFraming::kNone:
      return Step{What::kEnd, 0, {}, true};
    case BodyFraming::kLength: {
      if (left_ == 0) return Step{What::kEnd, 0, {}, true};
      if (input.empty()) return Step{};
      Step step = data(input);
      step.end = left_ == 0;
      return step;
    }
    case BodyFraming::kChunked:
      return chunked(input, limits);
    case BodyFraming::kUntilClose:
    case BodyFraming::kOpaque:
      if (input.empty()) return Step{};
      return Step{What::kData, input.size(), input, false};
  }
  return Step{};
}

std::expected<BodyReader::Step, Refusal> BodyReader::chunked(std::string_view input,
                                                             const Limits& limits) {
  std::size_t used = 0;
  while (true) {
    const std::string_view rest = input.substr(used);
    switch (chunk_) {
      case Chunk::kSize: {
        auto step = chunk_size(rest, limits);
        if (!step) return step;
        used += step->used;
        if (step->used == 0) return Step{What::kNeedMore, used, {}, false};
        break;
      }
      case Chunk::kData: {
        if (rest.empty()) return Step{What::kNeedMore, used, {}, false};
        Step step = data(rest);
        if (left_ == 0) chunk_ = Chunk::kDataEnd;
        step.used += used;
        return step;
      }
      case Chunk::kDataEnd:
        if (rest.size() < 2) {
          if (!rest.empty() && rest[0] != '\r') return refuse(400, "no line end behind a chunk");
          return Step{What::kNeedMore, used, {}, false};
        }
        if (!rest.starts_with("\r\n")) return refuse(400, "no line end behind a chunk");
        used += 2;
        chunk_ = Chunk::kSize;
        break;
      case Chunk::kTrailers: {
        auto step = trailer_section(rest, limits);
        if (step) step->used += used;
        return step;
      }
    }
  }
}

// chunk-size [ chunk-ext ] CRLF. Extensions are read over, within the line's limit.
std::expected<BodyReader::Step, Refusal> BodyReader::chunk_size(std::string_view input,
                                                                const Limits& limits) {
  const void* found = input.size() > scanned_
                          ? std::memchr(input.data() + scanned_, '\n', input.size() - scanned_)
                          : nullptr;
  const std::size_t line =
      found == nullptr ? input.size()
                       : static_cast<std::size_t>(static_cast<const char*>(found) - input.data());
  if (line > limits.chunk_line_bytes) return refuse(400, "chunk extensions are too long");
  if (found == nullptr) {
    scanned_ = input.size();
    return Step{};
  }
  scanned_ = 0;
  if (line == 0 || input[line - 1] != '\r') return refuse(400, "line feed alone");
  std::uint64_t size = 0;
  std::size_t digits = 0;
  int digit;
  for (; digits < line && (digit = hex_value(input[digits])) >= 0; ++digits) {
    if (size >> 59 != 0) return refuse(400, "chunk size is too large");
    size = size * 16 + static_cast<std::uint64_t>(digit);
  }
  const std::string_view extension = input.substr(digits, line - 1 - digits);
  if (digits == 0) return refuse(400, "invalid chunk size");
  // BWS is for what precedes an extension only.
  const std::size_t semicolon = extension.find_first_not_of(" \t");
  if (!extension.empty() && (semicolon == std::string_view::npos || extension[semicolon] != ';')) {
    return refuse(400, "invalid chunk size");
  }
  if (!is_field_value(extension)) return refuse(400, "control character in a chunk extension");
  left_ = size;
  chunk_ = size == 0 ? Chunk::kTrailers : Chunk::kData;
  return Step{What::kNeedMore, line + 1, {}, false};
}

std::expected<BodyReader::Step, Refusal> BodyReader::trailer_section(std::string_view input,
                                                                     const Limits& limits) {
  if (input.starts_with("\r\n")) return Step{What::kEnd, 2, {}, true};
  auto end = find_head_end(input, scanned_);
  if (!end) return std::unexpected(end.error());
  if ((*end ? **end : input.size()) > limits.head_bytes) {
    return refuse(431, "trailers are too large");
  }
  if (!*end) return Step{};
  scanned_ = 0;
  if (auto read = parse_trailers(input.substr(0, **end), limits, trailers_); !read) {
    return std::unexpected(read.error());
  }
  return Step{trailers_.empty() ? What::kEnd : What::kTrailers, **end, {}, true};
}

}  // namespace mizzen::http::h1
