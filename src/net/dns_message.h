// DNS messages as far as an authoritative answer for A records takes them (RFC 1035, EDNS0 of RFC
// 6891).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mizzen::net::dns {

inline constexpr std::uint16_t kTypeA = 1;
inline constexpr std::uint16_t kTypeCname = 5;
inline constexpr std::uint16_t kTypeAaaa = 28;

enum class Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kRefused = 5
};

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  std::string name;  // lower case, without the last dot
  std::uint16_t type = 0;
  std::size_t question_end = 0;  // offset of the first byte behind the question
  std::uint16_t max_payload = 512;
};

// Nothing for what is not a standard query with one question of class IN; names are bounded by the
// RFC and compression pointers are refused in a question.
std::optional<Query> parse_query(std::string_view message);

struct Answer {
  Rcode rcode = Rcode::kNoError;
  std::vector<std::uint32_t> addresses;  // host byte order; A records in this order
  std::string canonical;                 // not "": one CNAME instead of addresses
  std::uint32_t ttl_seconds = 5;
};

// The response to `query`, which was parsed from `message`. Addresses that do not fit the client's
// payload size are left out.
std::string encode_answer(std::string_view message, const Query& query, const Answer& answer);

}  // namespace mizzen::net::dns
