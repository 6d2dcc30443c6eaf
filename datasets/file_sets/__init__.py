"""Which files belong to one data set, and how their readings follow one another."""
