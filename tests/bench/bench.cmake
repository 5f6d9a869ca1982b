# Operations on any directory, and on the ring alone: docs/performance.md.
add_executable(mount_bench ${CMAKE_CURRENT_LIST_DIR}/mount_bench.cpp)
target_link_libraries(mount_bench PRIVATE ringfs_options CLI11::CLI11 nlohmann_json::nlohmann_json Threads::Threads)
add_executable(ring_bench ${CMAKE_CURRENT_LIST_DIR}/ring_bench.cpp)
target_link_libraries(ring_bench PRIVATE ringfs_net CLI11::CLI11)
