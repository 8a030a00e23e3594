#include <algorithm>
#include <bit>
#include <cstring>

#include "http/hpack.h"

namespace mizzen::http::hpack {

namespace {

constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15ULL;

std::uint64_t load(const char* from, std::size_t size) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, size);
  return word;
}

// Quick rather than strong: it finds candidates, which are then compared.
std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = (seed ^ text.size()) * kMix;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; left -= 8, at += 8) hash = std::rotl(hash ^ load(at, 8), 29) * kMix;
  std::uint64_t tail = 0;
  if (left >= 4) {
    tail = load(at, 4) << 32 | load(at + left - 4, 4);
  } else {
    for (; left > 0; --left) tail = tail << 8 | static_cast<unsigned char>(*at++);
  }
  hash = (hash ^ tail) * kMix;
  return hash ^ hash >> 32;
}

// Whether both have these `size` bytes; most texts are too short for a call of memcmp to pay.
inline bool same(const char* a, const char* b, std::size_t size) {
  if (size >= 8) {
    const std::size_t last = size - 8;
    for (std::size_t at = 0; at < last; at += 8) {
      if (load(a + at, 8) != load(b + at, 8)) return false;
    }
    return load(a + last, 8) == load(b + last, 8);
  }
  if (size >= 4) return load(a, 4) == load(b, 4) && load(a + size - 4, 4) == load(b + size - 4, 4);
  for (; size > 0; --size) {
    if (*a++ != *b++) return false;
  }
  return true;
}

inline bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && same(a.data(), b.data(), a.size());
}

// RFC 7541 5.1, behind the bits that `first` has.
char* put_number(std::size_t value, unsigned prefix, unsigned first, char* to) {
  const std::size_t most = (1U << prefix) - 1;
  if (value < most) {
    *to++ = static_cast<char>(first | value);
    return to;
  }
  *to++ = static_cast<char>(first | most);
  for (value -= most; value >= 128; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

char* put_plain(std::string_view text, char* to) {
  to = put_number(text.size(), 7, 0, to);
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_shortest(std::string_view text, char* to) {
  const std::size_t size = huffman_size(text);
  if (size >= text.size()) return put_plain(text, to);
  return huffman_encode(text, put_number(size, 7, 0x80, to));
}

// What a guess may not be tried against: tables are shared by all who send over this connection
// (RFC 7541 7.1.3). Short cookies are guessed easily.
bool is_secret(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 6:
      return value.size() < 20 && name == "cookie";
    case 13:
      return name == "authorization";
    case 19:
      return name == "proxy-authorization";
    default:
      return false;
  }
}

// The pseudo-headers that the static table holds whole, or 0.
std::size_t static_pseudo(std::string_view name, std::string_view value) {
  std::size_t from = 0;
  std::size_t to = 0;
  switch (name.size() > 2 ? name[2] : ' ') {
    case 'e':  // :method
      from = 2, to = 3;
      break;
    case 'a':  // :path
      from = 4, to = 5;
      break;
    case 'c':  // :scheme
      from = 6, to = 7;
      break;
    case 't':  // :status
      from = 8, to = 14;
      break;
    default:
      return 0;
  }
  for (std::size_t i = from; i <= to; ++i) {
    const StaticEntry& entry = static_entry(i);
    if (same(entry.value, value)) return same(entry.name, name) ? i : 0;
  }
  return 0;
}

}  // namespace

void Writer::set_table(std::size_t bytes) {
  bytes = std::min(bytes, Reader::kDefaultTable);
  if (bytes == table_.limit() && !size_changed_) return;
  least_ = size_changed_ ? std::min(least_, bytes) : bytes;
  size_changed_ = true;
  table_.set_limit(bytes);
}

char* Writer::begin(char* to) {
  last_ = kMostEntries;
  if (!size_changed_) return to;
  size_changed_ = false;
  if (least_ < table_.limit()) to = put_number(least_, 5, 0x20, to);
  return put_number(table_.limit(), 5, 0x20, to);
}

// Without a look at its hash: is it the field that came next last time?
std::size_t Writer::expected(std::string_view name, std::string_view value) {
  const std::uint32_t newest = table_.added() - 1;
  const std::uint32_t number = newest - static_cast<std::uint8_t>(newest - memory_->after[last_]);
  if (!table_.holds(number)) return 0;
  const DynamicTable::Entry& entry = table_.numbered(number);
  if (entry.name_size != name.size() || entry.value_size != value.size()) return 0;
  if (!same(table_.name(entry), name) || !same(table_.value(entry), value)) return 0;
  last_ = number % kMostEntries;
  return kStaticEntries + table_.added() - number;
}

// Notes what came next, and gives its index of RFC 7541 2.3.3.
std::size_t Writer::found(std::uint32_t number) {
  memory_->after[last_] = static_cast<std::uint8_t>(number);
  last_ = number % kMostEntries;
  return kStaticEntries + table_.added() - number;
}

std::size_t Writer::find_field(std::string_view name, std::string_view value, std::uint32_t hash) {
  for (std::uint32_t probe = 0; probe < 2; ++probe) {
    const std::uint32_t number = memory_->fields[(hash + probe) % memory_->fields.size()];
    if (!table_.holds(number)) continue;
    const DynamicTable::Entry& entry = table_.numbered(number);
    if (entry.hash == hash && same(table_.name(entry), name) && same(table_.value(entry), value)) {
      return found(number);
    }
  }
  return 0;
}

std::size_t Writer::find_name(std::string_view name, std::uint32_t hash) const {
  const std::uint32_t number = memory_->names[hash % memory_->names.size()];
  if (!table_.holds(number)) return 0;
  return same(table_.name(table_.numbered(number)), name) ? kStaticEntries + table_.added() - number
                                                          : 0;
}

bool Writer::worth_keeping(std::string_view name, std::string_view value, std::uint32_t hash,
                           bool name_known) {
  const std::size_t size = name.size() + value.size() + DynamicTable::kOverhead;
  if (size > table_.limit() / 4 * 3) return false;
  std::uint32_t& seen = memory_->seen[hash % memory_->seen.size()];
  return std::exchange(seen, hash) == hash || !name_known;
}

void Writer::remember(std::string_view name, std::string_view value, std::uint32_t name_hash,
                      std::uint32_t hash) {
  DynamicTable::Entry* entry = table_.add(name, value);
  if (entry == nullptr) return;
  entry->hash = hash;
  const std::uint32_t number = table_.added() - 1;
  found(number);
  memory_->names[name_hash % memory_->names.size()] = number;
  std::uint32_t& first = memory_->fields[hash % memory_->fields.size()];
  const bool taken = number != first && table_.holds(first);
  (taken ? memory_->fields[(hash + 1) % memory_->fields.size()] : first) = number;
}

char* Writer::write(std::string_view name, std::string_view value, char* to) {
  if (name.starts_with(':')) {
    if (const std::size_t index = static_pseudo(name, value)) {
      *to = static_cast<char>(0x80 | index);
      return to + 1;
    }
  }
  if (memory_ != nullptr) {
    if (const std::size_t index = expected(name, value)) return put_number(index, 7, 0x80, to);
  }
  return write_unexpected(name, value, to);
}

char* Writer::write_unexpected(std::string_view name, std::string_view value, char* to) {
  if (memory_ == nullptr) memory_ = std::make_unique<Memory>();
  const std::uint64_t name_mix = hash_of(name, 0);
  const auto name_hash = static_cast<std::uint32_t>(name_mix);
  const auto hash = static_cast<std::uint32_t>(hash_of(value, name_mix));
  if (const std::size_t index = find_field(name, value, hash)) {
    return put_number(index, 7, 0x80, to);
  }
  std::size_t index = static_name(name);
  if (index == 0) index = find_name(name, name_hash);
  if (is_secret(name, value)) {
    to = put_number(index, 4, 0x10, to);
    return put_plain(value, index == 0 ? put_plain(name, to) : to);
  }
  if (!worth_keeping(name, value, hash, index != 0)) {
    to = put_number(index, 4, 0, to);
    return put_plain(value, index == 0 ? put_plain(name, to) : to);
  }
  to = put_number(index, 6, 0x40, to);
  if (index == 0) to = put_shortest(name, to);
  to = put_shortest(value, to);
  remember(name, value, name_hash, hash);
  return to;
}

}  // namespace mizzen::http::hpack
