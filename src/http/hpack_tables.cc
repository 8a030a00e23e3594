#include "http/hpack_tables.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "http/message.h"

namespace mizzen::http::hpack {

namespace {

constexpr std::array<StaticEntry, kStaticEntries> kStatic = {{
    {":authority", "", Kind::kAuthority},
    {":method", "GET", Kind::kMethod},
    {":method", "POST", Kind::kMethod},
    {":path", "/", Kind::kPath},
    {":path", "/index.html", Kind::kPath},
    {":scheme", "http", Kind::kScheme},
    {":scheme", "https", Kind::kScheme},
    {":status", "200", Kind::kStatus},
    {":status", "204", Kind::kStatus},
    {":status", "206", Kind::kStatus},
    {":status", "304", Kind::kStatus},
    {":status", "400", Kind::kStatus},
    {":status", "404", Kind::kStatus},
    {":status", "500", Kind::kStatus},
    {"accept-charset", "", Kind::kOrdinary},
    {"accept-encoding", "gzip, deflate", Kind::kOrdinary},
    {"accept-language", "", Kind::kOrdinary},
    {"accept-ranges", "", Kind::kOrdinary},
    {"accept", "", Kind::kOrdinary},
    {"access-control-allow-origin", "", Kind::kOrdinary},
    {"age", "", Kind::kOrdinary},
    {"allow", "", Kind::kOrdinary},
    {"authorization", "", Kind::kOrdinary},
    {"cache-control", "", Kind::kOrdinary},
    {"content-disposition", "", Kind::kOrdinary},
    {"content-encoding", "", Kind::kOrdinary},
    {"content-language", "", Kind::kOrdinary},
    {"content-length", "", Kind::kContentLength},
    {"content-location", "", Kind::kOrdinary},
    {"content-range", "", Kind::kOrdinary},
    {"content-type", "", Kind::kOrdinary},
    {"cookie", "", Kind::kCookie},
    {"date", "", Kind::kOrdinary},
    {"etag", "", Kind::kOrdinary},
    {"expect", "", Kind::kOrdinary},
    {"expires", "", Kind::kOrdinary},
    {"from", "", Kind::kOrdinary},
    {"host", "", Kind::kHost},
    {"if-match", "", Kind::kOrdinary},
    {"if-modified-since", "", Kind::kOrdinary},
    {"if-none-match", "", Kind::kOrdinary},
    {"if-range", "", Kind::kOrdinary},
    {"if-unmodified-since", "", Kind::kOrdinary},
    {"last-modified", "", Kind::kOrdinary},
    {"link", "", Kind::kOrdinary},
    {"location", "", Kind::kOrdinary},
    {"max-forwards", "", Kind::kOrdinary},
    {"proxy-authenticate", "", Kind::kOrdinary},
    {"proxy-authorization", "", Kind::kOrdinary},
    {"range", "", Kind::kOrdinary},
    {"referer", "", Kind::kOrdinary},
    {"refresh", "", Kind::kOrdinary},
    {"retry-after", "", Kind::kOrdinary},
    {"server", "", Kind::kOrdinary},
    {"set-cookie", "", Kind::kOrdinary},
    {"strict-transport-security", "", Kind::kOrdinary},
    {"transfer-encoding", "", Kind::kConnectionSpecific},
    {"user-agent", "", Kind::kOrdinary},
    {"vary", "", Kind::kOrdinary},
    {"via", "", Kind::kOrdinary},
    {"www-authenticate", "", Kind::kOrdinary},
}};

// Bits of each symbol's code, the last is EOS. The code is canonical: among codes of one length the
// numbers go up with the symbols, and a longer code goes on where the shorter ones ended.
constexpr std::size_t kSymbols = 257;
constexpr std::size_t kEos = 256;
constexpr std::array<std::uint8_t, kSymbols> kBits = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30};
constexpr unsigned kLongest = 30;
constexpr unsigned kFast = 10;  // bits that the first look-up takes

struct Huffman {
  std::array<std::uint32_t, kSymbols> codes{};
  std::array<std::uint16_t, kSymbols> sorted{};  // symbols in the order of their codes
  // For each length: its first code, at the top of 32 bits; the place of that in `sorted`; and
  // where the next length begins.
  std::array<std::uint64_t, kLongest + 2> first{};
  std::array<std::uint16_t, kLongest + 2> place{};
  // By the first bits: the symbol, and its length; 0 for longer codes.
  struct Short {
    std::uint8_t symbol;
    std::uint8_t bits;
  };
  std::array<Short, 1U << kFast> fast{};
};

constexpr Huffman kHuffman = [] {
  Huffman made;
  std::uint64_t next = 0;
  std::uint16_t place = 0;
  for (unsigned bits = 1; bits <= kLongest; ++bits) {
    made.first[bits] = next;
    made.place[bits] = place;
    for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) {
      if (kBits[symbol] != bits) continue;
      made.codes[symbol] = static_cast<std::uint32_t>(next >> (32 - bits));
      made.sorted[place++] = static_cast<std::uint16_t>(symbol);
      if (bits <= kFast) {
        const std::size_t from = next >> (32 - kFast);
        for (std::size_t i = 0; i < (1U << (kFast - bits)); ++i) {
          made.fast[from + i] = {static_cast<std::uint8_t>(symbol),
                                 static_cast<std::uint8_t>(bits)};
        }
      }
      next += std::uint64_t{1} << (32 - bits);
    }
  }
  made.first[kLongest + 1] = next;
  return made;
}();

constexpr std::array<bool, 256> kNameChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

// Names by a number made of length, last and middle letter.
constexpr std::size_t kNameSlots = 128;
constexpr std::size_t name_slot(std::string_view name) {
  const auto last = static_cast<unsigned char>(name.back());
  const auto middle = static_cast<unsigned char>(name[name.size() / 2]);
  return (name.size() * 5 + last * 3 + middle * 7U) % kNameSlots;
}
constexpr std::array<std::uint8_t, kNameSlots> kNames = [] {
  std::array<std::uint8_t, kNameSlots> slots{};
  for (std::size_t i = kStaticEntries; i > 0; --i) {
    const std::string_view name = kStatic[i - 1].name;
    std::size_t slot = name_slot(name);
    while (slots[slot] != 0 && kStatic[slots[slot] - 1].name != name) {
      slot = (slot + 1) % kNameSlots;
    }
    slots[slot] = static_cast<std::uint8_t>(i);
  }
  return slots;
}();

}  // namespace

const StaticEntry& static_entry(std::size_t index) { return kStatic[index - 1]; }

std::size_t static_name(std::string_view name) {
  if (name.empty()) return 0;
  for (std::size_t slot = name_slot(name);; slot = (slot + 1) % kNameSlots) {
    const std::size_t index = kNames[slot];
    if (index == 0 || kStatic[index - 1].name == name) return index;
  }
}

Kind kind_of(std::string_view name) {
  if (name.empty()) return Kind::kOrdinary;
  if (name.front() == ':') {
    if (name == ":path") return Kind::kPath;
    if (name == ":method") return Kind::kMethod;
    if (name == ":scheme") return Kind::kScheme;
    if (name == ":status") return Kind::kStatus;
    if (name == ":authority") return Kind::kAuthority;
    return name == ":protocol" ? Kind::kProtocol : Kind::kUnknownPseudo;
  }
  switch (name.size()) {
    case 2:
      return name == "te" ? Kind::kTe : Kind::kOrdinary;
    case 4:
      return name == "host" ? Kind::kHost : Kind::kOrdinary;
    case 6:
      return name == "cookie" ? Kind::kCookie : Kind::kOrdinary;
    case 7:
      return name == "upgrade" ? Kind::kConnectionSpecific : Kind::kOrdinary;
    case 10:
      return name == "connection" || name == "keep-alive" ? Kind::kConnectionSpecific
                                                          : Kind::kOrdinary;
    case 14:
      return name == "content-length" ? Kind::kContentLength : Kind::kOrdinary;
    case 16:
      return name == "proxy-connection" ? Kind::kConnectionSpecific : Kind::kOrdinary;
    case 17:
      return name == "transfer-encoding" ? Kind::kConnectionSpecific : Kind::kOrdinary;
    default:
      return Kind::kOrdinary;
  }
}

std::size_t huffman_size(std::string_view text) {
  std::size_t bits = 0;
  for (char c : text) bits += kBits[static_cast<unsigned char>(c)];
  return (bits + 7) / 8;
}

char* huffman_encode(std::string_view text, char* to) {
  std::uint64_t held = 0;  // the lowest `count` bits are not written yet; fewer than 8 of them
  unsigned count = 0;
  for (char c : text) {
    const auto symbol = static_cast<unsigned char>(c);
    held = held << kBits[symbol] | kHuffman.codes[symbol];
    count += kBits[symbol];
    for (; count >= 8; count -= 8) *to++ = static_cast<char>(held >> (count - 8));
  }
  if (count > 0) *to++ = static_cast<char>(held << (8 - count) | 0xffU >> count);
  return to;
}

std::optional<std::size_t> huffman_decode(std::string_view code, char* to) {
  const char* const begin = to;
  const char* at = code.data();
  const char* const end = at + code.size();
  std::uint64_t held = 0;  // the next bits, from the top; ones behind the last, as EOS begins
  unsigned count = 0;      // how many of them came from `code`
  for (;;) {
    while (count <= 56 && at != end) {
      held |= std::uint64_t{static_cast<unsigned char>(*at++)} << (56 - count);
      count += 8;
    }
    if (count == 0) break;
    const std::uint64_t window = count < 64 ? held | ~std::uint64_t{0} >> count : held;
    const Huffman::Short found = kHuffman.fast[window >> (64 - kFast)];
    unsigned bits = found.bits;
    char symbol = static_cast<char>(found.symbol);
    if (bits == 0) {
      const std::uint64_t top = window >> 32;
      bits = kFast + 1;
      while (bits < kLongest && top >= kHuffman.first[bits + 1]) ++bits;
      const std::size_t place =
          kHuffman.place[bits] + ((top - kHuffman.first[bits]) >> (32 - bits));
      const std::size_t which = kHuffman.sorted[place];
      if (which == kEos) {
        // What is left is padding when it is shorter than a byte.
        if (count >= 8) return std::nullopt;
        break;
      }
      symbol = static_cast<char>(which);
    }
    if (bits > count) {  // a code cut off: padding must be ones and shorter than a byte
      if (count >= 8 || held >> (64 - count) != (1U << count) - 1) return std::nullopt;
      break;
    }
    *to++ = symbol;
    held <<= bits;
    count -= bits;
  }
  return static_cast<std::size_t>(to - begin);
}

bool is_name(std::string_view name) {
  if (name.starts_with(':')) name.remove_prefix(1);
  if (name.empty()) return false;
  for (char c : name) {
    if (!kNameChars[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

bool is_value(std::string_view value) {
  if (value.empty()) return true;
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  return !blank(value.front()) && !blank(value.back()) && is_field_value(value);
}

}  // namespace mizzen::http::hpack
