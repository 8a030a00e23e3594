// What RFC 7541 lists: the static table (appendix A) and the Huffman code (appendix B); and what
// a field's name means to HTTP/2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mizzen::http::hpack {

// Names that HTTP/2 has rules about (RFC 9113 8.2.2, 8.3); all others are kOrdinary.
enum class Kind : std::uint8_t {
  kOrdinary,
  kMethod,
  kScheme,
  kAuthority,
  kPath,
  kProtocol,
  kStatus,
  kUnknownPseudo,  // begins with a colon and is none of the above
  kHost,
  kContentLength,
  kTe,
  kCookie,
  kConnectionSpecific,
};
Kind kind_of(std::string_view name);

struct StaticEntry {
  std::string_view name;
  std::string_view value;
  Kind kind;
};
constexpr std::size_t kStaticEntries = 61;
// Entry `index`, from 1 to kStaticEntries.
const StaticEntry& static_entry(std::size_t index);
// The first entry of that name; 0 when there is none.
std::size_t static_name(std::string_view name);

// Bytes that `text` takes in Huffman code.
std::size_t huffman_size(std::string_view text);
// Writes the code of `text`, huffman_size(text) bytes, and returns its end.
char* huffman_encode(std::string_view text, char* to);
// Reads `code` into `to`, which has room for code.size() * 8 / 5 bytes; returns how many were
// written. Nothing when the code is none: an EOS in it, or padding that is too long or not of ones.
std::optional<std::size_t> huffman_decode(std::string_view code, char* to);

// RFC 9113 8.2.1. A name: a token in lower case; a pseudo-header's too, after its colon. A value:
// no control characters but tab, no white space at either end.
bool is_name(std::string_view name);
bool is_value(std::string_view value);

}  // namespace mizzen::http::hpack
