class Case: pass
def golden_files(): pass
def write_golden(): pass
