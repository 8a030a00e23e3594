// Schemas by name.
#pragma once

namespace mizzen::api {

// Makes every message known by its name, which JSON and text of an Any need; whoever has the C++
// type at hand does not. Programs have this done at start, but for those that define
// mizzen_registers_schemas_late (tools/mend_protos): 13 million instructions. At the second call
// nothing happens. Main thread, while no other thread uses descriptors.
void register_schemas();

}  // namespace mizzen::api
