#include "http/headers.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/prefetch.h"
#include "base/strings.h"
#include "http/eight.h"

namespace mizzen::http {

namespace internal {

constexpr std::size_t kInlineText = 3072;
constexpr std::size_t kPooled = 256;  // blocks kept per thread

// Fields and their text. `text` serves first, then `more`, whose chunks never move.
struct HeaderStorage {
  std::vector<HeaderField> fields;
  std::vector<std::unique_ptr<char[]>> more;
  char* next = text;
  std::size_t left = kInlineText;
  HeaderStorage* next_free = nullptr;
  char text[kInlineText];

  void reset() {
    fields.clear();
    more.clear();
    next = text;
    left = kInlineText;
  }
  char* take(std::size_t size) {
    if (size > left) {
      const std::size_t chunk = std::max<std::size_t>(size, 4096);
      more.push_back(std::make_unique_for_overwrite<char[]>(chunk));
      next = more.back().get();
      left = chunk;
    }
    char* result = next;
    next += size;
    left -= size;
    return result;
  }
};

namespace {

struct Pool {
  HeaderStorage* first = nullptr;
  std::size_t size = 0;
  ~Pool() {
    while (first != nullptr) delete std::exchange(first, first->next_free);
    size = kPooled;  // lists that die later on this thread are not kept
  }
};
thread_local Pool pool;

HeaderStorage* acquire() {
  if (pool.first == nullptr) {
    auto* made = new HeaderStorage;
    made->fields.reserve(24);
    return made;
  }
  --pool.size;
  HeaderStorage* taken = std::exchange(pool.first, pool.first->next_free);
  prefetch(taken->fields.data(), 6 * kCacheLine);
  prefetch(pool.first, 8 * kCacheLine);
  return taken;
}

void give_back(HeaderStorage* storage) {
  if (pool.size >= kPooled) {
    delete storage;
    return;
  }
  storage->reset();
  storage->next_free = std::exchange(pool.first, storage);
  ++pool.size;
}

}  // namespace
}  // namespace internal

namespace {

char lower_char(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

void copy_lower_eight(const char* from, char* to) {
  std::uint64_t text = 0;
  std::memcpy(&text, from, sizeof text);
  text = lower_eight(text);
  std::memcpy(to, &text, sizeof text);
}

void copy_lower(std::string_view from, char* to) {
  if (from.size() < 8) {
    for (char c : from) *to++ = lower_char(c);
    return;
  }
  const std::size_t last = from.size() - 8;
  for (std::size_t at = 0; at < last; at += 8) copy_lower_eight(from.data() + at, to + at);
  copy_lower_eight(from.data() + last, to + last);  // some of it again
}

}  // namespace

internal::HeaderStorage& Headers::storage() {
  if (storage_ == nullptr) storage_ = internal::acquire();
  return *storage_;
}

std::vector<HeaderField>& Headers::fields() { return storage().fields; }

char* Headers::allocate(std::size_t size) { return storage().take(size); }

std::string_view Headers::intern(std::string_view text) {
  if (text.empty()) return {};
  char* copy = allocate(text.size());
  std::memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

Headers Headers::clone() const {
  Headers copy;
  for (const HeaderField& field : *this) {
    const char* original = field.original == nullptr
                               ? nullptr
                               : copy.intern({field.original, field.name.size()}).data();
    copy.add_borrowed(copy.intern(field.name), copy.intern(field.value), original);
  }
  return copy;
}

void Headers::add(std::string_view name, std::string_view value) {
  char* text = allocate(name.size() + value.size());
  copy_lower(name, text);
  if (!value.empty()) std::memcpy(text + name.size(), value.data(), value.size());
  add_borrowed({text, name.size()}, {text + name.size(), value.size()});
}

void Headers::add_borrowed(std::string_view name, std::string_view value, const char* original) {
  fields().push_back({name, value, original});
  names_ |= bit_of(name);
}

void Headers::set(std::string_view name, std::string_view value) {
  if (!may_have(name)) return add(name, value);
  auto& all = fields();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name.size() != name.size() || !equals_ignore_case(name, all[i].name)) continue;
    all[i].value = intern(value);
    const std::string_view kept = all[i].name;
    auto later = std::remove_if(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end(),
                                [kept](const HeaderField& f) { return f.name == kept; });
    all.erase(later, all.end());
    return;
  }
  add(name, value);
}

std::size_t Headers::remove_all(std::string_view name) {
  return remove_if([name](const HeaderField& field) { return field.name == name; });
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const HeaderField& field : *this) {
    if (field.name == name) return field.value;
  }
  return std::nullopt;
}

std::optional<std::string> Headers::joined(std::string_view name) const {
  std::optional<std::string> result;
  if (!may_have(name)) return result;
  for (const HeaderField& field : *this) {
    if (field.name != name) continue;
    if (result) {
      result->append(", ").append(field.value);
    } else {
      result.emplace(field.value);
    }
  }
  return result;
}

const HeaderField* Headers::begin() const {
  return storage_ == nullptr ? nullptr : storage_->fields.data();
}

const HeaderField* Headers::end() const {
  return storage_ == nullptr ? nullptr : storage_->fields.data() + storage_->fields.size();
}

void Headers::clear() {
  names_ = 0;
  if (storage_ != nullptr) storage_->reset();
}

void Headers::release() {
  names_ = 0;
  if (storage_ != nullptr) internal::give_back(std::exchange(storage_, nullptr));
}

}  // namespace mizzen::http
