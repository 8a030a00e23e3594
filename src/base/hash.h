// Hash functions that are part of a contract: equal to those of other programs, stable across runs
// and machines. Not for untrusted keys. No state; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace mizzen {

// XXH64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): what Envoy hashes requests and
// the ring's entries with.
std::uint64_t xxh64(std::string_view bytes, std::uint64_t seed = 0);

// MurmurHash2, 64-bit variant A, with the seed of Envoy's MURMUR_HASH_2 (libstdc++'s).
std::uint64_t murmur2(std::string_view bytes, std::uint64_t seed = 0xc70f6907U);

}  // namespace mizzen
