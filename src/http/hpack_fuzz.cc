// Field blocks: random bytes as one, read as the reference library reads them; and what was read,
// written by us and read by it.
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "http/fuzz_inputs.h"
#include "http/hpack.h"

namespace mizzen::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Inflater {
  Inflater() { nghttp2_hd_inflate_new(&raw); }
  ~Inflater() { nghttp2_hd_inflate_del(raw); }
  // False when the block is none.
  bool read(std::string_view block, Fields& fields) const {
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
      nghttp2_nv field;
      flags = 0;
      const auto used = nghttp2_hd_inflate_hd2(raw, &field, &flags, at, left, 1);
      if (used < 0) return false;
      at += used;
      left -= static_cast<std::size_t>(used);
      const bool emitted = (flags & NGHTTP2_HD_INFLATE_EMIT) != 0;
      if (emitted) {
        fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                            std::string(reinterpret_cast<char*>(field.value), field.valuelen));
      }
      if (!emitted && left == 0) break;
    }
    nghttp2_hd_inflate_end_headers(raw);
    return true;
  }
  nghttp2_hd_inflater* raw = nullptr;
};

bool read(hpack::Reader& reader, std::string_view block, Fields& fields) {
  hpack::Field field;
  reader.begin();
  while (!block.empty()) {
    const auto step = reader.next(block, field);
    if (step == hpack::Reader::Step::kMore || step == hpack::Reader::Step::kBroken) return false;
    if (step != hpack::Reader::Step::kField) continue;
    insist(field.kind == hpack::kind_of(field.name));
    insist(field.valid == (hpack::is_name(field.name) && hpack::is_value(field.value)));
    fields.emplace_back(field.name, field.value);
  }
  return true;
}

// Twice, so that the second time finds fields in the table.
void write_and_read_back(const Fields& fields, std::size_t table) {
  hpack::Writer writer;
  const Inflater inflater;
  if (table != 0) writer.set_table(table);
  if (table != 0) nghttp2_hd_inflate_change_table_size(inflater.raw, table);
  std::size_t room = hpack::Writer::kBlockOverhead;
  for (const auto& [name, value] : fields) {
    room += name.size() + value.size() + hpack::Writer::kFieldOverhead;
  }
  for (int round = 0; round < 2; ++round) {
    std::string block(room, '\0');
    char* at = writer.begin(block.data());
    for (const auto& [name, value] : fields) at = writer.write(name, value, at);
    const auto size = static_cast<std::size_t>(at - block.data());
    insist(size <= room);
    Fields back;
    insist(inflater.read({block.data(), size}, back) && back == fields);
  }
}

// The first byte says how often the block is cut.
void fuzz(std::string_view input) {
  if (input.empty()) return;
  const std::size_t step = step_of(input[0]);
  input.remove_prefix(1);
  hpack::Reader reader(4096, 64 * 1024);
  const Inflater judge;
  Fields all;
  bool good = true;
  for (std::size_t at = 0; at < input.size() && good; at += step) {
    const std::string block(input.substr(at, step));
    Fields ours;
    Fields theirs;
    good = read(reader, block, ours);
    insist(judge.read(block, theirs) == good);
    if (good) insist(ours == theirs);
    for (auto& field : ours) {
      if (!field.first.empty()) all.push_back(std::move(field));
    }
  }
  write_and_read_back(all, input.size() % 3 * 70);
}

}  // namespace
}  // namespace mizzen::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  mizzen::http::fuzz({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
