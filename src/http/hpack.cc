#include "http/hpack.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace mizzen::http::hpack {

namespace {

constexpr std::size_t kLeastText = 512;
constexpr std::size_t kLeastRing = 16;

// RFC 7541 5.1, into `value`: false when the bytes end too early. What is beyond 2^28 reads as a
// number that no limit allows.
constexpr std::size_t kTooMuch = std::size_t{1} << 40;
bool read_number(std::string_view& bytes, unsigned prefix, std::size_t& value) {
  const std::size_t most = (1U << prefix) - 1;
  value = static_cast<unsigned char>(bytes[0]) & most;
  if (value < most) {
    bytes.remove_prefix(1);
    return true;
  }
  for (std::size_t at = 1, shift = 0; at < bytes.size(); ++at, shift += 7) {
    const auto octet = static_cast<unsigned char>(bytes[at]);
    value += std::size_t{octet & 0x7fU} << shift;
    if (shift >= 28 && (octet & 0x80) != 0) value = kTooMuch;
    if ((octet & 0x80) == 0 || value >= kTooMuch) {
      bytes.remove_prefix(at + 1);
      return true;
    }
  }
  return false;
}

}  // namespace

void DynamicTable::evict_to(std::size_t bytes) {
  while (used_ > bytes) {
    const Entry& oldest = newest(--count_);
    used_ -= oldest.name_size + oldest.value_size + kOverhead;
  }
}

void DynamicTable::set_limit(std::size_t limit) {
  limit_ = limit;
  evict_to(limit);
}

DynamicTable::Entry* DynamicTable::add(std::string_view name, std::string_view value) {
  const std::size_t size = name.size() + value.size();
  if (size + kOverhead > limit_) {
    evict_to(0);
    return nullptr;
  }
  // Before anything is dropped: `name` may be what goes.
  if (size > capacity_ - end_) make_room(size, name);
  char* to = text_.get() + end_;
  if (!name.empty()) std::memcpy(to, name.data(), name.size());
  if (!value.empty()) std::memcpy(to + name.size(), value.data(), value.size());
  evict_to(limit_ - size - kOverhead);
  if (count_ == ring_.size()) grow_ring();
  Entry& entry = ring_[added_ & mask_];
  entry = {static_cast<std::uint32_t>(end_),
           static_cast<std::uint32_t>(name.size()),
           static_cast<std::uint32_t>(value.size()),
           0,
           Kind::kOrdinary,
           true};
  end_ += size;
  used_ += size + kOverhead;
  ++count_;
  ++added_;
  return &entry;
}

// Moves what is alive to the front, of a larger block when it fills more than half of this one.
void DynamicTable::make_room(std::size_t size, std::string_view& name) {
  const std::size_t from = count_ == 0 ? end_ : newest(count_ - 1).at;
  const std::size_t alive = end_ - from;
  std::unique_ptr<char[]> old;
  const char* source = text_.get();
  const bool inside = !name.empty() && source != nullptr && name.data() >= source + from &&
                      name.data() < source + end_;
  const std::size_t offset = inside ? static_cast<std::size_t>(name.data() - source) - from : 0;
  if ((alive + size) * 2 > capacity_) {
    capacity_ = std::max(kLeastText, std::bit_ceil((alive + size) * 2));
    old = std::exchange(text_, std::make_unique_for_overwrite<char[]>(capacity_));
  }
  if (alive > 0) std::memmove(text_.get(), source + from, alive);
  for (std::size_t age = 0; age < count_; ++age) {
    ring_[(added_ - 1 - age) & mask_].at -= static_cast<std::uint32_t>(from);
  }
  end_ = alive;
  if (inside) name = {text_.get() + offset, name.size()};
}

void DynamicTable::grow_ring() {
  std::vector<Entry> larger(std::max(kLeastRing, ring_.size() * 2));
  for (std::size_t age = 0; age < count_; ++age) {
    const std::uint32_t number = added_ - 1 - static_cast<std::uint32_t>(age);
    larger[number & (larger.size() - 1)] = numbered(number);
  }
  ring_ = std::move(larger);
  mask_ = static_cast<std::uint32_t>(ring_.size() - 1);
}

void Reader::set_table(std::size_t bytes) {
  allowed_ = bytes;
  if (table_.limit() > bytes) owes_size_ = true;
}

void Reader::begin() { at_start_ = wanted_ = true; }

inline bool Reader::look_up(std::size_t index, Field& field) const {
  if (index == 0) return false;
  if (index <= kStaticEntries) {
    const StaticEntry& entry = static_entry(index);
    field.name = entry.name;
    field.value = entry.value;
    field.kind = entry.kind;
    field.valid = field.static_name = field.static_value = true;
    return true;
  }
  const std::size_t age = index - kStaticEntries - 1;
  if (age >= table_.count()) return false;
  const DynamicTable::Entry& entry = table_.newest(age);
  field.name = table_.name(entry);
  field.value = table_.value(entry);
  field.kind = entry.kind;
  field.valid = entry.valid;
  field.static_name = field.static_value = false;
  return true;
}

Reader::Step Reader::next(std::string_view& bytes, Field& field) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  if ((first & 0xe0) == 0x20) return resize(bytes);
  if (owes_size_) return Step::kBroken;
  at_start_ = false;
  if (first > 0x80 && first < 0xff) {  // as most fields come
    bytes.remove_prefix(1);
    return look_up(first & 0x7fU, field) ? Step::kField : Step::kBroken;
  }
  return (first & 0x80) != 0 ? indexed(bytes, field) : literal(bytes, field);
}

Reader::Step Reader::resize(std::string_view& bytes) {
  if (!at_start_) return Step::kBroken;
  std::size_t size = 0;
  if (!read_number(bytes, 5, size)) return Step::kMore;
  if (size > allowed_) return Step::kBroken;
  table_.set_limit(size);
  owes_size_ = false;
  return Step::kNothing;
}

Reader::Step Reader::indexed(std::string_view& bytes, Field& field) {
  std::size_t index = 0;
  if (!read_number(bytes, 7, index)) return Step::kMore;
  return look_up(index, field) ? Step::kField : Step::kBroken;
}

Reader::Step Reader::read_text(std::string_view& bytes, Text& text) const {
  if (bytes.empty()) return Step::kMore;
  text.huffman = (bytes[0] & 0x80) != 0;
  std::size_t size = 0;
  if (!read_number(bytes, 7, size)) return Step::kMore;
  if (size > longest_) return Step::kBroken;
  if (size > bytes.size()) return Step::kMore;
  text.bytes = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return Step::kField;
}

// With incremental indexing (6.2.1), without (6.2.2), and never indexed (6.2.3).
Reader::Step Reader::literal(std::string_view& bytes, Field& field) {
  std::string_view rest = bytes;
  const bool keep = (rest[0] & 0x40) != 0;
  std::size_t index = 0;
  if (!read_number(rest, keep ? 6 : 4, index)) return Step::kMore;
  Text name{};
  Text value{};
  if (index == 0) {
    if (const Step step = read_text(rest, name); step != Step::kField) return step;
  } else if (!look_up(index, field)) {
    return Step::kBroken;
  }
  if (const Step step = read_text(rest, value); step != Step::kField) return step;
  bytes = rest;
  if (!keep && !wanted_) {
    field = {};
    return Step::kField;
  }

  thread_local std::string scratch;
  const auto plain = [](Text& text, char* to) {
    const auto size = huffman_decode(text.bytes, to);
    if (size) text.bytes = {to, *size};
    return size.has_value();
  };
  const std::size_t name_room = name.huffman ? name.bytes.size() * 8 / 5 + 1 : 0;
  const std::size_t value_room = value.huffman ? value.bytes.size() * 8 / 5 + 1 : 0;
  if (scratch.size() < name_room + value_room) scratch.resize(name_room + value_room);
  if (name.huffman && !plain(name, scratch.data())) return Step::kBroken;
  if (value.huffman && !plain(value, scratch.data() + name_room)) return Step::kBroken;
  if (index == 0) {
    const Kind kind = kind_of(name.bytes);
    field = {name.bytes, {}, kind, is_name(name.bytes), false, false};
  } else if (!field.valid) {
    field.valid = is_name(field.name);
  }
  field.value = value.bytes;
  field.static_value = false;
  field.valid = field.valid && is_value(field.value);
  if (!keep) return Step::kField;
  if (DynamicTable::Entry* entry = table_.add(field.name, field.value)) {
    entry->kind = field.kind;
    entry->valid = field.valid;
    if (!field.static_name) field.name = table_.name(*entry);
    field.value = table_.value(*entry);
  }
  return Step::kField;
}

}  // namespace mizzen::http::hpack
