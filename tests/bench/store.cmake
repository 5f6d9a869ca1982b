# Microseconds and bytes of the store's writes and applies: tests/bench/store_bench.cpp.
add_executable(store_bench ${CMAKE_CURRENT_LIST_DIR}/store_bench.cpp)
target_link_libraries(store_bench PRIVATE ringfs_nodes)
