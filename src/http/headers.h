// An ordered list of header fields in one pooled block of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mizzen::http {

struct HeaderField {
  std::string_view name;   // always lower case
  std::string_view value;  // without surrounding white space
  // The name as it came, `name.size()` long; null when it came in lower case or nobody asked.
  const char* original = nullptr;

  std::string_view spelled() const {
    return {original != nullptr ? original : name.data(), name.size()};
  }
};

namespace internal {
struct HeaderStorage;
}

// Fields keep their order; a name may occur several times. All text lives in an arena that goes
// back to a per-thread pool at the end, so that a list costs no allocation in steady state. Views
// that were handed out stay valid until clear(), release() or the end, also when the list is moved.
// One thread at a time.
class Headers {
 public:
  Headers() noexcept = default;
  Headers(Headers&& other) noexcept
      : storage_(std::exchange(other.storage_, nullptr)), names_(std::exchange(other.names_, 0)) {}
  Headers& operator=(Headers&& other) noexcept {
    std::swap(storage_, other.storage_);
    std::swap(names_, other.names_);
    return *this;
  }
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  ~Headers() { release(); }

  // A copy with an arena of its own.
  Headers clone() const;

  // Appends a field; the name is stored in lower case, both texts are copied.
  void add(std::string_view name, std::string_view value);
  // Appends a field whose texts outlive this list (literals, or text from intern()); no copy. The
  // name must be lower case already.
  void add_borrowed(std::string_view name, std::string_view value, const char* original = nullptr);
  // Replaces the first field of that name, drops the others; appends when there is none.
  void set(std::string_view name, std::string_view value);
  // Drops every field of that name; returns how many there were.
  std::size_t remove(std::string_view name) { return may_have(name) ? remove_all(name) : 0; }
  template <class Predicate>
  std::size_t remove_if(Predicate predicate);

  // All take the name in lower case. get(): the first value. joined(): all values with ", "
  // between (RFC 9110 5.2); nothing when there is no such field.
  std::optional<std::string_view> get(std::string_view name) const {
    return may_have(name) ? find(name) : std::nullopt;
  }
  std::string_view get_or(std::string_view name, std::string_view otherwise) const {
    return get(name).value_or(otherwise);
  }
  bool has(std::string_view name) const { return get(name).has_value(); }
  std::optional<std::string> joined(std::string_view name) const;

  const HeaderField* begin() const;
  const HeaderField* end() const;
  std::size_t size() const { return static_cast<std::size_t>(end() - begin()); }
  bool empty() const { return size() == 0; }

  // Copies text into the arena; the view lives as long as the arena's content.
  std::string_view intern(std::string_view text);
  // Room for `size` bytes in the arena, to be written by the caller.
  char* allocate(std::size_t size);

  // Drops fields and text and keeps the block. release() gives the block back too.
  void clear();
  void release();

 private:
  // Most questions are for fields that are not there: a name's bit says so without a look at the
  // fields. The same in both cases of its letters, which differ by 0x20.
  static constexpr std::uint64_t bit_of(std::string_view name) {
    if (name.empty()) return 1;
    return std::uint64_t{1} << (name.size() + static_cast<unsigned char>(name.back()) * 4) % 64;
  }
  bool may_have(std::string_view name) const { return (names_ & bit_of(name)) != 0; }

  internal::HeaderStorage& storage();
  std::vector<HeaderField>& fields();
  std::optional<std::string_view> find(std::string_view name) const;
  std::size_t remove_all(std::string_view name);

  internal::HeaderStorage* storage_ = nullptr;
  std::uint64_t names_ = 0;  // the bits of all names that were added
};

template <class Predicate>
std::size_t Headers::remove_if(Predicate predicate) {
  return storage_ == nullptr ? 0 : std::erase_if(fields(), predicate);
}

}  // namespace mizzen::http
