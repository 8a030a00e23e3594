#include "net/dns_message.h"

#include <algorithm>

#include "base/strings.h"

namespace mizzen::net::dns {
namespace {

constexpr std::size_t kHeader = 12;

std::uint16_t u16(std::string_view m, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(m[at]) << 8 |
                                    static_cast<unsigned char>(m[at + 1]));
}

void put16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
void put32(std::string& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

std::string encode_name(std::string_view name) {
  std::string out;
  for (std::string_view label : split(name, '.')) {
    if (label.empty() || label.size() > 63) continue;
    out.push_back(static_cast<char>(label.size()));
    out += label;
  }
  out.push_back(0);
  return out;
}

// The OPT record's payload size; it is the only record of a plain EDNS query, right after the
// question.
std::uint16_t edns_payload(std::string_view message, std::size_t at) {
  if (u16(message, 10) == 0 || at + 11 > message.size()) return 512;
  if (message[at] != 0 || u16(message, at + 1) != 41) return 512;
  return std::clamp<std::uint16_t>(u16(message, at + 3), 512, 4096);
}

}  // namespace

std::optional<Query> parse_query(std::string_view message) {
  if (message.size() < kHeader + 5) return std::nullopt;
  Query query;
  query.id = u16(message, 0);
  std::uint16_t flags = u16(message, 2);
  if ((flags & 0xf800) != 0 || u16(message, 4) != 1) return std::nullopt;
  query.recursion_desired = (flags & 0x0100) != 0;
  std::size_t at = kHeader;
  for (;;) {
    if (at >= message.size()) return std::nullopt;
    auto length = static_cast<unsigned char>(message[at++]);
    if (length == 0) break;
    if (length > 63 || at + length > message.size()) return std::nullopt;
    if (!query.name.empty()) query.name.push_back('.');
    query.name += lower(message.substr(at, length));
    at += length;
    if (query.name.size() > 255) return std::nullopt;
  }
  if (at + 4 > message.size() || u16(message, at + 2) != 1) return std::nullopt;
  query.type = u16(message, at);
  query.question_end = at + 4;
  query.max_payload = edns_payload(message, query.question_end);
  return query;
}

std::string encode_answer(std::string_view message, const Query& query, const Answer& answer) {
  std::string records;
  unsigned count = 0;
  auto begin_record = [&](std::uint16_t type, std::size_t size) {
    put16(records, 0xc000 | kHeader);
    put16(records, type);
    put16(records, 1);
    put32(records, answer.ttl_seconds);
    put16(records, static_cast<unsigned>(size));
    ++count;
  };
  if (!answer.canonical.empty()) {
    std::string name = encode_name(answer.canonical);
    begin_record(kTypeCname, name.size());
    records += name;
  } else if (query.type == kTypeA) {
    for (std::uint32_t address : answer.addresses) {
      if (query.question_end + records.size() + 16 + 11 > query.max_payload) break;
      begin_record(kTypeA, 4);
      put32(records, address);
    }
  }
  std::string out;
  put16(out, query.id);
  put16(out, 0x8400U | 0x0080U | (query.recursion_desired ? 0x0100U : 0U) |
                 static_cast<unsigned>(answer.rcode));
  put16(out, 1);
  put16(out, count);
  put16(out, 0);
  bool edns = query.max_payload > 512 || u16(message, 10) != 0;
  put16(out, edns ? 1 : 0);
  out += message.substr(kHeader, query.question_end - kHeader);
  out += records;
  if (edns) {
    out.push_back(0);
    put16(out, 41);
    put16(out, 4096);
    put32(out, 0);
    put16(out, 0);
  }
  return out;
}

}  // namespace mizzen::net::dns
