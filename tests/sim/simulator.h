// Requests decided in process by the proxy's own matcher and header code; no sockets, no time.
#pragma once

#include "mesh.h"
#include "outcome.h"

namespace mizzen::sim {

// What the proxy would do with the row's request or connection. `random` draws weights and
// percentages.
Outcome decide(const Mesh& mesh, const Row& row, const Ask& ask, std::uint64_t random);

// What the proxy of an on-demand scope would ask for before it sends the row's request, of what
// `mesh` does not know.
std::vector<std::string> unknown_names(const Mesh& mesh, const Row& row, const Ask& ask);

// Rows about configuration ("cluster", "listener") and about what only the decision knows
// ("timeout", "retries", "hashed"): one line for each difference.
std::vector<std::string> check_configuration(const Mesh& mesh, const Row& row);

}  // namespace mizzen::sim
