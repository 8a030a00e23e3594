// Header compression of HTTP/2 (RFC 7541). One reader and one writer per connection; one thread at
// a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "http/hpack_tables.h"

namespace mizzen::http::hpack {

// The fields that both ends remember (RFC 7541 2.3.2). Grows with its content, up to some 2.3 times
// the limit; a new one owns no memory.
class DynamicTable {
 public:
  struct Entry {
    std::uint32_t at;  // of its name in the text; its value follows
    std::uint32_t name_size;
    std::uint32_t value_size;
    std::uint32_t hash;  // the owner's
    Kind kind;
    bool valid;
  };
  static constexpr std::size_t kOverhead = 32;  // what RFC 7541 4.1 adds to an entry's texts

  explicit DynamicTable(std::size_t limit) : limit_(limit) {}

  // Drops the oldest entries beyond it.
  void set_limit(std::size_t limit);
  std::size_t limit() const { return limit_; }
  std::size_t count() const { return count_; }
  // How many were ever added: the newest has the number added() - 1.
  std::uint32_t added() const { return added_; }
  bool holds(std::uint32_t number) const { return added_ - number - 1 < count_; }

  // The caller fills in hash, kind and validity. Null when it does not fit, which empties the
  // table. `name` may be an entry's. Texts that were handed out before end here.
  Entry* add(std::string_view name, std::string_view value);
  // `age` 0 is the newest; less than count().
  const Entry& newest(std::size_t age) const { return numbered(added_ - 1 - age); }
  const Entry& numbered(std::uint32_t number) const { return ring_[number & mask_]; }
  std::string_view name(const Entry& entry) const {
    return {text_.get() + entry.at, entry.name_size};
  }
  std::string_view value(const Entry& entry) const {
    return {text_.get() + entry.at + entry.name_size, entry.value_size};
  }

 private:
  void evict_to(std::size_t bytes);
  void make_room(std::size_t size, std::string_view& name);
  void grow_ring();

  std::vector<Entry> ring_;  // a power of two
  std::uint32_t mask_ = 0;   // its size less one
  std::unique_ptr<char[]> text_;
  std::size_t capacity_ = 0;
  std::size_t end_ = 0;   // of the text; all that is alive lies before it, in order
  std::size_t used_ = 0;  // as RFC 7541 4.1 counts
  std::size_t limit_;
  std::uint32_t count_ = 0;
  std::uint32_t added_ = 0;
};

// A field that was read. Texts last until the next call of the reader; the static table's for ever.
struct Field {
  std::string_view name;
  std::string_view value;
  Kind kind = Kind::kOrdinary;
  bool valid = true;          // by is_name() and is_value()
  bool static_name = false;   // a literal
  bool static_value = false;  // a literal
};

class Reader {
 public:
  enum class Step : std::uint8_t {
    kField,
    kNothing,  // something else was read
    kMore,     // what there is ends inside of a field; nothing was taken
    kBroken,   // not HPACK, or beyond a limit: COMPRESSION_ERROR
  };

  // `table`: bytes that the writer may use for its table until set_table() says less;
  // `longest`: bytes of one text as it stands on the wire.
  Reader(std::size_t table, std::size_t longest)
      : table_(table < kDefaultTable ? kDefaultTable : table),
        allowed_(table_.limit()),
        longest_(longest) {
    table_.set_limit(kDefaultTable);
  }
  static constexpr std::size_t kDefaultTable = 4096;

  // The peer knows our SETTINGS_HEADER_TABLE_SIZE from now on.
  void set_table(std::size_t bytes);
  // A field block begins. Its end may not come between kMore and the rest of that field.
  void begin();
  // Nobody wants the rest of this block's fields: what no table keeps comes empty, and unjudged.
  void pass_over() { wanted_ = false; }
  // Takes one representation off the front of `bytes`, which must not be empty.
  Step next(std::string_view& bytes, Field& field);

 private:
  struct Text {
    std::string_view bytes;
    bool huffman;
  };
  Step indexed(std::string_view& bytes, Field& field);
  Step literal(std::string_view& bytes, Field& field);
  Step resize(std::string_view& bytes);
  bool look_up(std::size_t index, Field& field) const;
  Step read_text(std::string_view& bytes, Text& text) const;

  DynamicTable table_;
  std::size_t allowed_;
  std::size_t longest_;
  bool at_start_ = true;
  bool wanted_ = true;
  bool owes_size_ = false;  // the next block must begin with a table's size
};

// Remembers for the peer what comes again: a field goes into the table when its name is new there
// or the same field was written before. What comes but once (a request's id) is written in plain
// text, which costs both ends least.
class Writer {
 public:
  Writer() : table_(Reader::kDefaultTable) {}

  // The peer's SETTINGS_HEADER_TABLE_SIZE. We use no more than 4096 bytes.
  void set_table(std::size_t bytes);
  // A field takes at most its texts and kFieldOverhead; a block's begin kBlockOverhead.
  static constexpr std::size_t kFieldOverhead = 12;
  static constexpr std::size_t kBlockOverhead = 12;
  // Each writes at `to` and returns the end. The name must be in lower case.
  char* begin(char* to);
  char* write(std::string_view name, std::string_view value, char* to);

 private:
  static constexpr std::size_t kMostEntries = Reader::kDefaultTable / DynamicTable::kOverhead;
  // Where fields and names of the table may be found, and what was written lately.
  struct Memory {
    std::array<std::uint32_t, 128> fields{};  // numbers of entries, by hash
    std::array<std::uint32_t, 64> names{};
    std::array<std::uint32_t, 64> seen{};  // hashes
    // Which entry was written next when that one was last, or nothing yet: heads come in the same
    // order again. By the lowest bits of the entries' numbers, which tell them apart.
    std::array<std::uint8_t, kMostEntries + 1> after{};
  };
  char* write_unexpected(std::string_view name, std::string_view value, char* to);
  std::size_t expected(std::string_view name, std::string_view value);
  std::size_t found(std::uint32_t number);
  std::size_t find_field(std::string_view name, std::string_view value, std::uint32_t hash);
  std::size_t find_name(std::string_view name, std::uint32_t hash) const;
  bool worth_keeping(std::string_view name, std::string_view value, std::uint32_t hash,
                     bool name_known);
  void remember(std::string_view name, std::string_view value, std::uint32_t name_hash,
                std::uint32_t hash);

  DynamicTable table_;
  std::unique_ptr<Memory> memory_;
  std::size_t last_ = kMostEntries;            // the place in Memory::after of what was written
  std::size_t least_ = Reader::kDefaultTable;  // of the limits since the last block
  bool size_changed_ = false;
};

}  // namespace mizzen::http::hpack
