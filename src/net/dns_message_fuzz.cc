// Queries from any program in a pod, and the answers to those that parse.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mizzen::net::dns;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto query = parse_query(text);
  if (!query) return 0;
  Answer answer;
  answer.addresses = {0x0a000001, 0x0a000002, 0x0a000003};
  if (encode_answer(text, *query, answer).size() > query->max_payload) std::abort();
  answer.addresses.clear();
  answer.canonical = query->name;
  (void)encode_answer(text, *query, answer);
  return 0;
}
